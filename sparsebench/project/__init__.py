"""An asv project on disk: its settings, its commits, and running asv in it; any project."""

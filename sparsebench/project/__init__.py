"""An asv project on disk: its settings, its commits, its installations, and running asv in it.

Read `settings` first.
"""

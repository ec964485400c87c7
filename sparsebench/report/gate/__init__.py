"""A gate's findings for people and programs: terminal, comment, picture, JSON."""

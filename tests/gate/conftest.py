"""The project whose commits need no installing, as a fixture."""

from tests.gate_project import tiny

__all__ = ["tiny"]

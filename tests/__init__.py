"""Tests. A package, so that no other "tests" on the path is imported in its place."""

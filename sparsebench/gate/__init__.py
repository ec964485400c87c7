"""Paired measurement of two commits, and verdicts with known error rates; any asv project."""

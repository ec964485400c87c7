"""Findings as text: tables for a terminal, Markdown, JSON."""

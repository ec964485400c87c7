"""Parsed asv files in, Arrow tables out: one row per parameter combination.

Read `schema` first, then `rows`.
"""

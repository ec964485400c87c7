"""Units, tables and figures for people."""

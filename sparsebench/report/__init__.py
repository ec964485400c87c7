"""Findings in, something to look at out: tables, figures and a site.

`text` prints tables, `figures` draws (one module per figure), `site` writes static pages.
"""

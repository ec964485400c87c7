"""sparsebench: weight sparsifiers, and the tools that measure, keep, judge and show them."""

__version__ = "0.1.0"

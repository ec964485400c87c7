"""Weight sparsifiers, and tools that measure, store, compare and show their cost."""

__version__ = "0.1.0"

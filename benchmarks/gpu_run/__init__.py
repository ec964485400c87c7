"""The command ``scripts/gpu``: all that a GPU machine is needed for, in one call of some minutes.

It runs with the Python at hand and without asv. Read ``__main__`` first: it orders the parts, the
most important one first, and runs each as a process with a time limit. ``measure`` is one of them.
Results are recordings as the suite writes them under asv, which `sparsebench ingest` takes.
"""

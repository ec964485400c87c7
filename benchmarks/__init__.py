"""The asv suite: thin classes here, the grid and its workloads in ``benchmarks.workloads``."""

"""The one home of the grid: cases, seeded weights, workloads and digests."""

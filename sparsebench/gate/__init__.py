"""Paired measurement of two commits of any asv project, and verdicts with known error rates.

A request in, a record of raw rounds and a verdict per case out. Read `runner.run` first. In order:

1. `request`: both commits, the selected cases, tolerance and budget.
2. `runner` has both commits installed, starts a pair of workers (`worker_process` here, `worker` in
   the process itself) and plans the run: the selected `cases` that the workers discover.
3. `coordinator` measures in rounds, each with a fresh pair, and adds every block to the `record`.
4. `verdicts` returns the cases that need another round, and at the end the `findings`. It reads the
   record by case (`measurements`) and the state of the machine (`control`).

`bisection` and `calibration` repeat this; `parquet` is another file format of the record.
"""

"""Paired measurement of two commits of any asv project, and verdicts with known error rates.

A request in, a record of raw rounds and a verdict per case out. Read `runner` first: it starts the
workers (`worker_process`, `worker`), lets `coordinator` measure in rounds, and asks `verdicts`.
"""

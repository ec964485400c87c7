"""asv's own files, versions 1 and 2, as plain records.

Result files, benchmarks.json and machine.json in, frozen dataclasses out. Read `result_files`
first.
"""

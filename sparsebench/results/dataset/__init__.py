"""The Parquet dataset in a folder or an object store.

Rows in, files out, and rows of all files back. Read `snapshot` first, then `scan` (reading) and
`parquet_files` (writing); `conflict_rule` says which of two rows counts, `compaction` merges files.
"""

"""The Parquet dataset on disk or in object storage.

Storage, file footers, the snapshot that readers see, the conflict rule, compaction. Read
`snapshot` first.
"""

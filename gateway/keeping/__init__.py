"""What the keeper process does, a duty a file; `work` puts them together.

Each reads the log like any reader, keeps its own state on disk, and can be killed at any point. What a duty needs
of another is asked of an object, never of its files: retention asks the tree for a leaf, and the export for what is
safe in the bucket.
"""

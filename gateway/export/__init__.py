"""The copy in a bucket that nobody here can change. What goes next is decided in storage.export.

settings      what the operator decides, and what a bucket must be like for it (pure)
s3            the one module that knows boto3 for S3: operations and what their answers mean
scan          what of a data directory belongs in the bucket (files, no network)
ledger        what was verified there, so that a restart need not ask again; may be lost
tree_export   the urgent lane: a log's tree and its checkpoint
exporter      the conduct: two lanes, threads, status
"""

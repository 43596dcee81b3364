"""A bucket as a place to read from: s3_files makes it look like a data directory."""

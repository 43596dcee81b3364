"""The lake: rows of many segments asked with SQL, on this machine, by DuckDB (extra `kubetape[lake]`).

    files      which row and Parquet files there are, below a data directory (with the manifest of `compact`)
    fetch      row files of a store, brought into a private directory
    statements the SQL of views and compaction, made from storage.lake.rows; pure
    engine     the one module that knows DuckDB: a locked-down database, a question, an answer
    compact    row files -> Parquet files, one per hour, sorted; can be done again at any time

The rows themselves are made in storage (lake, rows_writer). Athena, Trino and Spark read the same files;
their tables are in deploy/lake.
"""

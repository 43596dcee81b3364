"""The log and what can be read out of it. Blocking file work; no network, no Trio. A log has one writer
thread, and one at low priority that makes spare segments and seals full ones.

    records        what is recorded: one struct per record type, numbers never reused
    format, dictionary    the bytes of a segment (FORMAT.md is the authority; a test compares)
    files          the file operations used here, behind an interface that tests can make fail
    log            many appenders, group commit, the failure latch (with intake, pace, attendant)
    writer         one segment being written; segment_file, segment_footer: one being read
    reader         segments, open or sealed, back to records; recovery: what a crash left behind
    sources        all logs of a data directory, as the index reads them
    index          records -> SQLite rows, rebuildable (with index_day, index_rows, index_text,
                   index_schema, database_file)
    query, search  the search language; query and index together
    timeline       one session as commands and calls; cast: one terminal as asciicast
    ansi, plain_text    recorded bytes as text: neutralised for a terminal, stripped for search
    export, object_keys    what goes to a bucket next, and under which key

    encryption/    the cipher, data keys, who may open them, shredding
    tlog/          hash tree, tiles, signed notes, checkpoints, proofs, witnesses (C2SP)
    notary/        leaves of a log, its checkpoints while it grows, tombstones, the check before a start
    verify/        a log proven untouched, offline
    retention/     what is deleted and when; legal holds
    lake/          rows for search beyond one machine
    reconcile/     the record beside a cluster's own audit log
"""

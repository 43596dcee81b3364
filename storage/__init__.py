"""The log and what can be read out of it. Blocking file work; no network, no Trio, no concurrency
but the one writer thread of a log.

    records     what is recorded: one struct per record type, numbers never reused
    format      the bytes of a segment (FORMAT.md is the authority; a test compares the numbers)
    files       the file operations used here, behind an interface that tests can make fail
    writer      one segment being written; log: many of them, group commit, the failure latch
    reader      segments, open or sealed, back to records; recovery after a crash
    index       records -> SQLite rows, rebuildable; query: the search language; search: both together
    timeline    one session as commands and calls; cast: one terminal as asciicast
"""

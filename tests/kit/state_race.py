"""One of two processes that race for the same approvals: says which it won. Run by test_race.

`python -m tests.kit.state_race RACER COUNT PLACE PACE`; RACER: 0 or 1; PLACE: a directory (SQLite) or a connection
string; PACE: a file of 16 zero bytes, in which each racer says how far it is: neither tries for an approval before the
other has done with the one before, so that all of them are contested.
"""

import json
import mmap
import os
import sys
from pathlib import Path

from gateway.state.claims import unique_key
from gateway.state.entries import HoldUsed, encode_entry
from gateway.state.postgres import PostgresStore
from gateway.state.sqlite import SqliteStore
from gateway.state.store import AlreadyClaimed, StateStore


def race(store: StateStore, racer: int, count: int, pace: memoryview) -> list[int]:
    won = []
    for number in range(count):
        pace[racer] = number + 1
        while pace[1 - racer] < number + 1:
            os.sched_yield()
        entry = HoldUsed(at_ns=1, id=f"hold-{number}", digest="d", exchange=str(racer))
        try:
            store.append(encode_entry(entry), b"signature", unique=unique_key(entry))
        except AlreadyClaimed:
            continue
        won.append(number)
    return won


if __name__ == "__main__":
    racer, count, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    store: StateStore = PostgresStore(place) if "://" in place else SqliteStore(Path(place))
    with open(sys.argv[4], "r+b") as file:
        pace = memoryview(mmap.mmap(file.fileno(), 16)).cast("q")
    print(json.dumps(race(store, racer, count, pace)))
    store.close()

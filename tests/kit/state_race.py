"""One of two processes that race for the same approvals: says which it won. Run by test_race.

`python -m tests.kit.state_race NAME COUNT PLACE`; PLACE: a directory (SQLite) or a connection string. Waits for a line
on standard input, so that both begin at once.
"""

import json
import sys
from pathlib import Path

from gateway.state.claims import unique_key
from gateway.state.entries import HoldUsed, encode_entry
from gateway.state.postgres import PostgresStore
from gateway.state.sqlite import SqliteStore
from gateway.state.store import AlreadyClaimed, StateStore


def race(store: StateStore, name: str, count: int) -> list[int]:
    won = []
    for number in range(count):
        entry = HoldUsed(at_ns=1, id=f"hold-{number}", digest="d", exchange=name)
        try:
            store.append(encode_entry(entry), b"signature", unique=unique_key(entry))
        except AlreadyClaimed:
            continue
        won.append(number)
    return won


if __name__ == "__main__":
    name, count, place = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    store: StateStore = PostgresStore(place) if "://" in place else SqliteStore(Path(place))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(race(store, name, count)))
    store.close()

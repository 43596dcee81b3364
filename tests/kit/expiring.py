"""A data directory with segments of chosen ages and a signed tree over them, for what deletes and lists."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from storage.encryption.cipher import new_cipher_parameters
from storage.encryption.keys import NO_KEYS, DataKey, KeyMaker, KeyRing
from storage.files import REAL_FILES, FileOps
from storage.format import SUFFIX_RECOVERED, SegmentHeader, SegmentName, parse_segment_name
from storage.index import Indexer
from storage.notary.notary import Notary
from storage.records import encode_record
from storage.retention.decide import NS_PER_DAY, Policy
from storage.retention.expiry_plan import Outlook, Rules, Sizes, needed_by_nobody, span_of
from storage.retention.expiry_run import Expiry, LogReport
from storage.retention.holds import Hold, Lookup, NoLookup, Span
from storage.retention.inventory import list_entries, read_extent
from storage.segment_id import new_segment_id
from storage.tlog.note import SignerKey, generate_signer, parse_signer
from storage.writer import open_segment
from tests.kit.recorded import Tape
from tests.kit.segments import header, record

ORIGIN = "example.com/kubetape/gw"
NOW_NS = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z"""
CAPACITY = 64 * 1024
FIVE_DAYS = Policy(max_age_ns=5 * NS_PER_DAY, require_export=False)


def new_signer(origin: str = ORIGIN) -> SignerKey:
    return parse_signer(generate_signer(origin)[0])


def publisher(directory: Path, signer: SignerKey, files: FileOps = REAL_FILES) -> Callable[[str], None]:
    """What the keeper does when it is asked to take tombstones into the tree."""

    def publish(_: str) -> None:
        notary = Notary.open(files, directory, signer)
        try:
            while notary.advance():
                pass
            notary.publish(time.monotonic(), durable=True)
            notary.sync()
        finally:
            notary.close()

    return publish


class Scene:
    """One log. Segment n was begun at `days_ago[n - 1]` days before NOW_NS and holds records 2n - 1 and 2n.

    A segment counts as ended when its successor begins: with FIVE_DAYS, 1 to 3 of the default are due.
    """

    def __init__(
        self,
        data_dir: Path,
        days_ago: Sequence[float] = (9, 8, 7, 6, 1),
        log: str = "0",
        key_maker: KeyMaker | None = None,
    ) -> None:
        self.data_dir, self.log, self.directory = data_dir, log, data_dir / "log" / log
        self.signer = new_signer()
        self.publish = publisher(self.directory, self.signer)
        self.stems: list[str] = []
        self._prev, self._next_seq, self._key_maker = "", 1, key_maker
        self.directory.mkdir(parents=True)
        for age in days_ago:
            self.add(age)

    def add(self, days_ago: float, *, state: str = "sealed", content: Sequence[bytes] | None = None) -> Path:
        """A further segment. state: sealed, recovered or open; content: its records, not the numbered two."""
        number = len(self.stems) + 1
        created_ns = NOW_NS - round(days_ago * NS_PER_DAY)
        head = msgspec.structs.replace(
            header(number, first_record_seq=self._next_seq, prev=self._prev),
            created_ns=created_ns,
            segment_id=new_segment_id(created_ns),
        )
        if content is None:
            content = [record(self._next_seq), record(self._next_seq + 1)]
        data_key = self._key_maker.make() if self._key_maker is not None else None
        if data_key is not None:
            head = msgspec.structs.replace(
                head, segment_id=data_key.envelope.segment_id, cipher=new_cipher_parameters()
            )
        path = write_segment(self.directory, head, content, state, data_key)
        self.stems.append(path.stem)
        self._prev, self._next_seq = head.segment_id, self._next_seq + len(content)
        return path

    def name(self, number: int) -> SegmentName:
        name = parse_segment_name(self.stems[number - 1])
        assert name is not None
        return name

    def path(self, number: int, suffix: str = ".kseg") -> Path:
        return self.directory / (self.stems[number - 1] + suffix)

    def left(self) -> list[int]:
        """Numbers of the segments that are there."""
        there = [
            path.stem for path in self.directory.iterdir() if path.suffix in (".kseg", ".recovered", ".open")
        ]
        return sorted(self.stems.index(stem) + 1 for stem in there)

    def buried(self) -> list[int]:
        """Numbers of the segments that have a tombstone."""
        return sorted(self.stems.index(path.stem) + 1 for path in self.directory.glob("*.tombstone"))

    def cover(self) -> None:
        """Bring the tree up to the log."""
        self.publish(self.log)

    def outlook(
        self,
        policy: Policy = FIVE_DAYS,
        *,
        holds: Sequence[Hold] = (),
        lookup: Lookup | None = None,
        exported: Sequence[int] = (),
        key_ring: KeyRing = NO_KEYS,
        files: FileOps = REAL_FILES,
        now_ns: int = NOW_NS,
        sizes: Sizes | None = None,
        needed_by: Callable[[str, SegmentName], str] = needed_by_nobody,
    ) -> Outlook:
        return Outlook(
            files,
            self.data_dir,
            self.log,
            Rules(policy, holds, lookup or NoLookup(), now_ns, key_ring, needed_by),
            exported={self.name(number) for number in exported},
            keys=[self.signer.verifier],
            sizes=sizes,
        )

    def expire(
        self,
        policy: Policy = FIVE_DAYS,
        *,
        publish: Callable[[str], None] | None = None,
        confirm: Callable[[SegmentName], bool] | None = None,
        **outlook: Any,
    ) -> LogReport:
        """One run of retention. outlook: see `outlook`."""
        expiry = Expiry(self.outlook(policy, **outlook), confirm=confirm)
        return expiry.run(self.signer, publish or self.publish)


class Story(Scene):
    """1: ann, three days ago. 2: the agent, two days ago. 3: the end of a call ann began in 1. 4: nobody."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, ())
        tape = Tape(start_ns=NOW_NS - 3 * NS_PER_DAY)
        tape.started()
        tape.get_pods()
        tape.logs(end=True)
        tape.records, long_call = tape.records[:-2], tape.records[-2:]
        self._cut(tape, 3)
        tape.now_ns = NOW_NS - 2 * NS_PER_DAY
        tape.denied()
        self._cut(tape, 2)
        tape.records = long_call
        self._cut(tape, 1)
        tape.now_ns = NOW_NS
        tape.stopped()
        self._cut(tape, 0)
        self.indexer = Indexer(data_dir)

    def _cut(self, tape: Tape, days_ago: float) -> None:
        self.add(days_ago, content=[encode_record(one) for one in tape.records])
        tape.records = []

    def index(self) -> None:
        while self.indexer.run_once():
            pass

    def span(self, number: int) -> Span:
        entry = list_entries(REAL_FILES, self.directory)[number - 1]
        extent = read_extent(REAL_FILES, entry.path(self.directory))
        return span_of(REAL_FILES, self.directory, entry, extent)


def write_segment(
    directory: Path, head: SegmentHeader, content: Sequence[bytes], state: str, data_key: DataKey | None
) -> Path:
    segment = open_segment(
        REAL_FILES, directory, head, capacity_bytes=CAPACITY, spare=None, data_key=data_key
    )
    for at, one in enumerate(content):
        segment.append([one], head.created_ns + at)
        segment.sync()
    if state == "sealed":
        return segment.seal()
    segment.abandon()
    if state == "recovered":
        return segment.path.rename(segment.path.with_suffix(SUFFIX_RECOVERED))
    return segment.path

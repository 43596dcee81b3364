"""All duties of one data directory, and what they need of each other.

Only what the settings ask for is made: no bucket, no export; no sinks, no outlets. At the end (`finish`) the order
matters: the log is closed, so first its last leaves and the index, then what is made of both, then the bucket.
"""

import time
from pathlib import Path
from typing import Final

import trio

from gateway.clear_text import index_mode, needs_keys, rows_mode
from gateway.config import IndexMode, Settings
from gateway.duties import Duty
from gateway.export.settings import Rows
from gateway.keeper_messages import DutyStatus, KeeperStatus, Orders, SegmentKey
from gateway.keeping.export import Export
from gateway.keeping.growth import LogGrowth
from gateway.keeping.retention import Expiry
from gateway.keeping.sinks import Sinks
from gateway.keeping.tree import Trees
from gateway.keys.memory import MemoryKeys
from gateway.keys.opening import local_key_path, open_key_ring
from storage.encryption.keys import KeyRing
from storage.index import Indexer
from storage.index_rows import IndexSettings
from storage.lake.rows_writer import RowsWriter
from storage.lake.settings import RowSettings
from storage.retention.index_expiry import DayExpiry
from storage.sources import SegmentLogs

INDEX_S: Final = 0.5
"""How soon a call can be found: searching is for people, and each step costs what ten calls cost."""
BUSY_INDEX_S: Final = 1.0
"""The same while there is much to do: half as many steps."""
BUSY_RECORDS: Final = 32
"""Of one round; a call has four."""
TREE_S: Final = 1.0
WITNESS_S: Final = 2.0
ROWS_S: Final = 5.0
RETENTION_S: Final = 60.0


class KeeperWork:
    """Made once a keeper process; `run` it, then perhaps `finish`, then `close`."""

    def __init__(self, orders: Orders) -> None:
        settings, data_dir = orders.settings, Path(orders.data_dir)
        self._data_dir = data_dir
        self._memory_keys = MemoryKeys()
        keys = _keys(settings, data_dir, self._memory_keys)
        self._trees = Trees(data_dir, orders.gateway_id, settings.checkpoints.witnesses)
        self._indexer = _indexer(settings, data_dir, keys)
        self._indexed_before = 0  # the last round
        self._days = DayExpiry(self._indexer, data_dir) if self._indexer is not None else None
        self._rows = _rows(settings, data_dir, keys)
        self._export = Export(settings, data_dir, self._trees)
        self._sinks = Sinks(settings, data_dir, SegmentLogs(data_dir, keys=keys))
        self._expiry = Expiry(settings, data_dir, self._trees, self._export, self._sinks, keys)
        self._duties = self._make_duties(settings)

    def _make_duties(self, settings: Settings) -> list[Duty]:
        """In the order in which they are finished."""
        data_dir = self._data_dir
        tree_growth, index_growth = LogGrowth(data_dir), LogGrowth(data_dir)
        duties = [
            Duty(
                "tree",
                self._trees.step,
                TREE_S,
                facts=self._trees.facts,
                has_work=tree_growth.may_have_grown,
            )
        ]
        if settings.checkpoints.witnesses:
            duties.append(Duty("witnesses", self._trees.cosign, WITNESS_S))
        if self._indexer is not None:
            has_work = index_growth.may_have_grown
            duties.append(
                Duty("index", self._index, self._index_pause_s, facts=self._index_facts, has_work=has_work)
            )
        if self._rows is not None:
            duties.append(Duty("rows", self._rows.run_once, ROWS_S, facts=self._rows_facts))
        duties.append(Duty("retention", self._expiry.step, RETENTION_S, facts=self._expiry.facts))
        return duties

    def _index(self) -> bool:
        """Days of the index whose segments are gone go between two steps: they are the indexer's files."""
        assert self._indexer is not None
        assert self._days is not None
        more = self._indexer.run_once()
        self._days.run_once()
        return more

    def _index_pause_s(self) -> float:
        assert self._indexer is not None
        before, self._indexed_before = self._indexed_before, self._indexer.indexed
        return BUSY_INDEX_S if self._indexed_before - before > BUSY_RECORDS else INDEX_S

    def _index_facts(self) -> dict[str, float]:
        assert self._indexer is not None
        return {"kubetape_indexed_records_total": float(self._indexer.indexed)}

    def _rows_facts(self) -> dict[str, float]:
        assert self._rows is not None
        return {"kubetape_rows_total": float(self._rows.rows_made)}

    def take_key(self, key: SegmentKey) -> None:
        """Remember the data key of a segment being written."""
        self._memory_keys.add(key.log_origin, key.segment_id, key.key)

    def status(self) -> KeeperStatus:
        """How all of it goes."""
        duties = {duty.name: duty.status() for duty in self._duties}
        others: dict[str, DutyStatus | None] = {
            "export": self._export.status(),
            "sinks": self._sinks.status(),
        }
        duties |= {name: status for name, status in others.items() if status is not None}
        return KeeperStatus(time.time_ns(), duties)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for duty in self._duties:
                nursery.start_soon(duty.run)
            nursery.start_soon(self._export.run)
            nursery.start_soon(self._sinks.run)

    async def finish(self, deadline_s: float) -> None:
        """The log is closed: bring everything to its end, as far as the time allows. While `run` runs."""
        give_up_s = trio.current_time() + deadline_s
        with trio.move_on_after(deadline_s):
            await Duty("tree", self._trees.finish, TREE_S).round()
            for duty in self._duties:
                await duty.round()
            await self._sinks.drain()
            await self._export.flush(give_up_s - trio.current_time())

    def close(self) -> None:
        if self._indexer is not None:
            self._indexer.close()
        if self._rows is not None:
            self._rows.close()
        self._trees.close()


def _keys(settings: Settings, data_dir: Path, memory: MemoryKeys) -> KeyRing:
    """What opens the logs: the keys of this machine, or those told while they are in use."""
    encryption = settings.record.encryption
    if needs_keys(settings):
        return KeyRing([memory])
    named = [local_key_path(encryption, data_dir)] if encryption.local_key is not None else []
    return open_key_ring(data_dir, named, use_kms=False)


def _indexer(settings: Settings, data_dir: Path, keys: KeyRing) -> Indexer | None:
    mode = index_mode(settings)
    if mode is IndexMode.NONE:
        _forbid_index(data_dir)
        return None
    return Indexer(
        data_dir,
        source=SegmentLogs(data_dir, keys=keys),
        settings=IndexSettings(metadata_only=mode is IndexMode.METADATA),
    )


def _forbid_index(data_dir: Path) -> None:
    """Delete an index of before, and leave word that none is wanted, for the command line."""
    indexer = Indexer(data_dir)
    try:
        if indexer.take_lock():
            indexer.forbid()
    finally:
        indexer.close()


def _rows(settings: Settings, data_dir: Path, keys: KeyRing) -> RowsWriter | None:
    mode = rows_mode(settings)
    if mode is Rows.NONE:
        return None
    row_settings = RowSettings(cluster=settings.cluster.name, metadata_only=mode is Rows.METADATA)
    return RowsWriter(data_dir, settings=row_settings, keys=keys)

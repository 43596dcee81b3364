"""The door to the log: who waits for what, and what happens when the disk fails. And the tape on top of it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway import recorder as recorder_module
from gateway.recorder import Recorder
from gateway.tape import Tape, new_exchange_id
from protocol.events import BodyChunk, EndOfBody, ResponseHead
from storage.errors import LogFailed
from storage.files import REAL_FILES, FileOps, Headroom
from storage.log import LogIdentity
from storage.pace import LogSettings
from storage.reader import iter_records
from storage.records import (
    MAX_DATA_BYTES,
    Intent,
    LogStopped,
    Outcome,
    RequestBody,
    ResponseBody,
    VerdictRecord,
    decode_record,
)
from tests.kit.blocked_files import BlockedFiles
from tests.kit.faulty_files import FailingFiles

RECORD = LogStopped(1, "x")
EXCHANGE = bytes(16)
INTENT = Intent(
    EXCHANGE, 1, "", "c", "s", "1.1", "GET", b"/", (), None, None, VerdictRecord("allow", "observe"), 1
)


@asynccontextmanager
async def open_recorder(directory: Path, files: FileOps = REAL_FILES) -> AsyncIterator[Recorder]:
    identity = LogIdentity(gateway_id="g", log_origin="o", worker=0)
    recorder = Recorder(directory, identity=identity, settings=LogSettings(), files=files)
    try:
        with trio.fail_after(10):
            yield recorder
    finally:
        if isinstance(files, BlockedFiles):
            files.release()
        with suppress(LogFailed):
            await recorder.close()


def records(directory: Path) -> list[object]:
    return [decode_record(raw) for _, raw in iter_records(directory)]


async def test_durable_returns_only_after_the_sync(tmp_path: Path) -> None:
    files, done = BlockedFiles(), trio.Event()
    async with open_recorder(tmp_path, files) as recorder, trio.open_nursery() as nursery:
        files.block()
        position = recorder.append(RECORD, urgent=True)

        async def wait() -> None:
            await recorder.durable(position)
            done.set()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked(0.05)
        assert not done.is_set()
        assert recorder.pending_bytes > 0
        files.release()
        await done.wait()
        await recorder.durable(position)  # at once
        assert records(tmp_path)[-1] == RECORD


async def test_no_waiter_is_forgotten_whenever_the_commit_comes(tmp_path: Path) -> None:
    """The log's thread wakes the loop only when it sees a waiter: before, during and after registering."""

    async def append_and_wait(pauses: int) -> None:
        for number in range(100):
            position = recorder.append(RECORD, urgent=True)
            for _ in range((number * pauses) % 7):
                await trio.lowlevel.checkpoint()
            await recorder.durable(position)

    async with open_recorder(tmp_path) as recorder, trio.open_nursery() as nursery:
        for pauses in range(4):
            nursery.start_soon(append_and_wait, pauses)


async def test_waiters_are_woken_in_any_order_of_positions(tmp_path: Path) -> None:
    async with open_recorder(tmp_path) as recorder, trio.open_nursery() as nursery:
        positions = [recorder.append(RECORD, urgent=True) for _ in range(20)]
        for position in reversed(positions):
            nursery.start_soon(recorder.durable, position)


@pytest.mark.parametrize("bound", ["age", "bytes"])
async def test_streams_wait_while_the_lag_is_out_of_bounds(
    tmp_path: Path, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_LAG_S", 0.05 if bound == "age" else 60.0)
    files, done = BlockedFiles(), trio.Event()
    async with open_recorder(tmp_path, files) as recorder, trio.open_nursery() as nursery:
        await recorder.flow()
        files.block()
        for _ in range(1 if bound == "age" else 40):
            recorder.append(ResponseBody(EXCHANGE, 0, 0, b"x" * MAX_DATA_BYTES))
        await trio.sleep(0.06)

        async def stream() -> None:
            await recorder.flow()
            done.set()

        nursery.start_soon(stream)
        await wait_all_tasks_blocked(0.05)
        assert not done.is_set()
        files.release()
        await done.wait()


async def test_a_failed_disk_wakes_everybody_and_stays_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_LAG_S", 0.0)
    files = FailingFiles(only="sync_data")
    async with open_recorder(tmp_path, files) as recorder:
        files._fail_at = files._counted + 1
        raised: list[str] = []

        async def wait(position: int) -> None:
            try:
                await recorder.durable(position)
            except LogFailed:
                raised.append("durable")

        async def stream() -> None:
            try:
                await recorder.flow()
            except LogFailed:
                raised.append("flow")

        async with trio.open_nursery() as nursery:
            position = recorder.append(RECORD, urgent=True)
            nursery.start_soon(wait, position)
            nursery.start_soon(stream)
            await wait_all_tasks_blocked(0.05)
            with suppress(LogFailed):
                nursery.start_soon(wait, recorder.append(RECORD, urgent=True))
        await recorder.failed.wait()
        assert "durable" in raised
        with pytest.raises(LogFailed):
            recorder.append(RECORD)
        with pytest.raises(LogFailed):
            await recorder.durable(10**9)


async def test_the_headroom_is_asked_for_rarely(tmp_path: Path) -> None:
    async with open_recorder(tmp_path) as recorder:
        asked: list[int] = []
        recorder._log.headroom = lambda: asked.append(1) or Headroom.LOW  # type: ignore[method-assign, func-returns-value]
        assert {recorder.headroom() for _ in range(100)} == {Headroom.LOW}
        assert len(asked) == 1


# --- the tape ------------------------------------------------------------------------------------------


async def test_a_tape_records_what_it_is_shown_split_and_in_order(tmp_path: Path) -> None:
    big = bytes(index % 256 for index in range(2 * MAX_DATA_BYTES + 5))
    async with open_recorder(tmp_path) as recorder:
        tape = Tape(recorder, EXCHANGE)
        tape.intent(INTENT)
        tape.request_body(big, urgent=True)
        await tape.intent_durable()
        tape.mark("upstream_sent_us")
        for event in (ResponseHead(200, ((b"a", b"b"),)), BodyChunk(big), BodyChunk(b"end"), EndOfBody()):
            tape.response(event)
        tape.end("completed", urgent=True)
        tape.end("failed", "too late")
        await tape.durable()
        found = [record for record in records(tmp_path) if getattr(record, "exchange", None) == EXCHANGE]
    requests = [record for record in found if isinstance(record, RequestBody)]
    answers = [record for record in found if isinstance(record, ResponseBody)]
    assert b"".join(record.data for record in requests) == big
    assert [record.offset for record in requests] == [0, MAX_DATA_BYTES, 2 * MAX_DATA_BYTES]
    assert b"".join(record.data for record in answers) == big + b"end"
    assert answers[-1].offset == len(big)
    (outcome,) = [record for record in found if isinstance(record, Outcome)]
    assert (outcome.result, outcome.request_bytes, outcome.response_bytes) == (
        "completed",
        len(big),
        len(big) + 3,
    )
    assert outcome.timings.upstream_sent_us is not None
    assert outcome.timings.intent_durable_us is not None
    assert found[0] == INTENT


async def test_an_exchange_without_intent_gets_no_outcome_and_unknown_hops_are_a_bug(tmp_path: Path) -> None:
    async with open_recorder(tmp_path) as recorder:
        tape = Tape(recorder, EXCHANGE)
        tape.end("completed")
        assert not tape.ended
        with pytest.raises(AssertionError):
            tape.mark("nowhere_us")


def test_exchanges_have_version_4_uuids_of_their_own() -> None:
    made = [new_exchange_id() for _ in range(100)]
    assert len(set(made)) == 100
    for identity in made:
        assert (uuid.UUID(bytes=identity).version, uuid.UUID(bytes=identity).variant) == (4, uuid.RFC_4122)


async def test_the_log_is_woken_when_the_loop_has_nothing_else_to_do(tmp_path: Path) -> None:
    """Nobody waits for the record, and it is durable soon all the same."""
    async with open_recorder(tmp_path) as recorder:
        position = recorder.append(RECORD, urgent=True)
        with trio.fail_after(10):
            while recorder._durable.position < position:
                await trio.sleep(0.001)


async def test_a_closed_recorder_leaves_no_bell_behind(tmp_path: Path) -> None:
    async with open_recorder(tmp_path) as recorder:
        pass
    with pytest.raises(KeyError):
        trio.lowlevel.remove_instrument(recorder._bell)

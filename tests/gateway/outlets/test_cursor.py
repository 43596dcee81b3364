"""The state of an outlet on disk: whole or old, never half; losing it is said and no reason to stop."""

import stat
from pathlib import Path

import msgspec
import pytest

from gateway.outlets import cursor as module
from gateway.outlets.cursor import CursorFile, OutletState
from gateway.outlets.exchange_records import AssemblerState
from tests.kit.assembling import feed, new_assembler, position
from tests.kit.faulty_files import FailingFiles
from tests.kit.recorded import Tape

STATE = OutletState({"0": AssemblerState(position(7), ((9, b"x" * 16),))}, 5, 1, 2)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = CursorFile(tmp_path, "falco")
    assert file.load() == (OutletState(), "")
    file.save(STATE)
    assert CursorFile(tmp_path, "falco").load() == (STATE, "")
    path = tmp_path / "outlets" / "falco.cursor"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["falco.cursor"]


def test_a_carried_exchange_survives_the_file(tmp_path: Path) -> None:
    tape = Tape()
    tape.exec(end=False)
    assembler = new_assembler()
    feed(assembler, tape.records)
    state = OutletState({"0": assembler.state()})
    CursorFile(tmp_path, "falco").save(state)
    assert CursorFile(tmp_path, "falco").load().state == state


@pytest.mark.parametrize("at", range(1, 6))
def test_whatever_fails_while_saving_the_old_or_the_new_state_is_there(tmp_path: Path, at: int) -> None:
    CursorFile(tmp_path, "falco").save(STATE)
    newer = msgspec.structs.replace(STATE, sent=99)
    with pytest.raises(OSError, match="injected"):
        CursorFile(tmp_path, "falco", files=FailingFiles(at)).save(newer)
    assert CursorFile(tmp_path, "falco").load().state in (STATE, newer)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version":2}', b'{"sent":"x"}', b'{"unknown":1}', b'{"logs":{"0":{"cursor":5}}}'],
)
def test_a_file_that_is_no_state_is_put_aside_and_said(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "outlets"
    directory.mkdir()
    (directory / "falco.cursor").write_bytes(content)
    loaded = CursorFile(tmp_path, "falco").load()
    assert loaded.state == OutletState()
    assert loaded.complaint.endswith("is not readable and was renamed to falco.garbled")
    assert (directory / "falco.garbled").read_bytes() == content
    assert CursorFile(tmp_path, "falco").load() == (OutletState(), "")


def test_a_file_too_large_to_be_a_state_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CursorFile(tmp_path, "falco").save(STATE)
    monkeypatch.setattr(module, "MAX_STATE_BYTES", 10)
    assert CursorFile(tmp_path, "falco").load().complaint

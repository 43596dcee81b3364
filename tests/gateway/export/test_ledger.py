"""The ledger: believed as far as it can be read, and lost without harm."""

from pathlib import Path

from gateway.export.ledger import LEDGER, Entry, Ledger

ENTRY = Entry("v1/a", "ab" * 32, 7, mtime_ns=5, tree_size=3)


def test_what_was_noted_is_there_after_a_restart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "here")
    assert ledger.was_lost
    ledger.add(ENTRY)
    again = Ledger(tmp_path, "here")
    assert not again.was_lost
    assert again.get("v1/a") == ENTRY
    assert again.get("v1/b") is None
    assert (tmp_path / LEDGER).stat().st_mode & 0o777 == 0o600


def test_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "here")
    ledger.add(ENTRY)
    ledger.add(Entry("v1/a", "cd" * 32, 8))
    assert Ledger(tmp_path, "here").get("v1/a") == Entry("v1/a", "cd" * 32, 8)


def test_of_another_store_nothing_is_believed(tmp_path: Path) -> None:
    Ledger(tmp_path, "here").add(ENTRY)
    other = Ledger(tmp_path, "there")
    assert other.was_lost
    assert other.get("v1/a") is None
    assert Ledger(tmp_path, "here").was_lost


def test_garbled_lines_cost_only_themselves(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "here")
    ledger.add(ENTRY)
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(b'{"key":"v1/torn","sha\n\0\0\0\xff\n{"key":5}\n')
    ledger.add(Entry("v1/b", "00" * 32, 1))
    again = Ledger(tmp_path, "here")
    assert again.get("v1/a") == ENTRY
    assert again.get("v1/b") is not None
    assert again.get("v1/torn") is None


def test_a_file_that_is_no_ledger_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    path.parent.mkdir()
    for content in (b"", b"\xff\xfe\n", b"[]\n"):
        path.write_bytes(content)
        assert Ledger(tmp_path, "here").was_lost
        assert not Ledger(tmp_path, "here").was_lost


def test_a_disk_that_takes_nothing_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(b"in the way")
    ledger = Ledger(tmp_path, "here")
    assert "ledger.jsonl" in ledger.problem
    ledger.add(ENTRY)
    assert ledger.get("v1/a") == ENTRY
    (tmp_path / "export").unlink()
    ledger.add(ENTRY)
    assert ledger.problem != "", "its file is still not there"


def test_a_checkpoint_every_minute_does_not_grow_it_for_ever(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "here")
    for size in range(3000):
        ledger.add(Entry("v1/tlog/x/checkpoint", "00" * 32, 200, tree_size=size))
    assert len((tmp_path / LEDGER).read_bytes().splitlines()) < 1100
    assert Ledger(tmp_path, "here").get("v1/tlog/x/checkpoint") == Entry(
        "v1/tlog/x/checkpoint", "00" * 32, 200, tree_size=2999
    )


def test_files_that_are_gone_are_forgotten_once_they_are_many(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "here")
    ledger.add(Entry("v1/tlog/x/checkpoint", "00" * 32, 1))
    for number in range(1200):
        ledger.add(Entry(f"v1/segments/{number}", "00" * 32, 1))
    ledger.retain({f"v1/segments/{number}" for number in range(1100)})
    assert ledger.get("v1/segments/1150") is not None, "few of them: not worth a new file"
    ledger.retain({"v1/segments/7"})
    again = Ledger(tmp_path, "here")
    assert again.get("v1/segments/7") is not None
    assert again.get("v1/segments/8") is None
    assert again.get("v1/tlog/x/checkpoint") is not None


def test_forgotten_is_forgotten(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "here")
    ledger.add(ENTRY)
    ledger.forget("v1/a")
    ledger.forget("v1/a")
    assert ledger.get("v1/a") is None

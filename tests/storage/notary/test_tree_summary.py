"""One log in a row: its segments and how far its tree goes."""

import base64
from pathlib import Path

from storage.files import REAL_FILES
from storage.notary.tree_summary import TreeSummary, summarize_tree
from storage.retention.decide import NS_PER_DAY
from storage.tlog.checkpoint import read_unverified
from tests.kit.expiring import NOW_NS, ORIGIN, Scene


def test_a_log_with_a_tree(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.cover()
    scene.expire()
    checkpoint = read_unverified((scene.directory / "tlog" / "checkpoint").read_bytes())
    assert summarize_tree(REAL_FILES, scene.directory) == TreeSummary(
        "0",
        2,
        3,
        sum(path.stat().st_size for path in scene.directory.glob("*.kseg")),
        ORIGIN,
        18,
        base64.b64encode(checkpoint.root).decode(),
        NOW_NS - NS_PER_DAY + 1,
        "",
    )


def test_a_log_without_a_tree_and_one_with_a_garbled_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert summarize_tree(REAL_FILES, scene.directory).problem == "checkpoint: missing"
    scene.cover()
    (scene.directory / "tlog" / "checkpoint").write_bytes(b"garbled")
    summary = summarize_tree(REAL_FILES, scene.directory)
    assert (summary.segments, summary.leaves) == (5, 0)
    assert "signed note" in summary.problem


def test_a_tree_without_record_frames_says_no_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ())
    scene.add(1, content=[])
    scene.cover()
    summary = summarize_tree(REAL_FILES, scene.directory)
    assert (summary.leaves, summary.newest_ns) == (1, 0)

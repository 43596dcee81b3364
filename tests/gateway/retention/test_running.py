"""The minute's run over a data directory: all logs, holds first, nothing when in doubt."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.retention.running import TOLD_FILE, Retention
from gateway.retention.settings import RetentionSettings
from storage.errors import LogFailed
from storage.files import REAL_FILES
from storage.format import SegmentName
from storage.index import INDEX_DIRECTORY
from storage.log import Commit, LogIdentity, SegmentLog
from storage.pace import LogSettings
from storage.reader import iter_records
from storage.retention.decide import NS_PER_DAY
from storage.retention.holds import Everything, Hold, OfUser, from_ns
from storage.retention.holds_file import HOLDS_FILE, Change, add_hold, holding_still, remove_hold
from storage.tlog.note import Signer
from tests.kit.expiring import NOW_NS, ORIGIN, Scene, Story, new_signer, publisher
from tests.kit.recorded import AGENT

FIVE_DAYS = RetentionSettings(max_age_days=5)
HOLD = Hold("h1", from_ns(NOW_NS), "root", "case 17", Everything())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.cover()
    return scene


def retention(
    *scenes: Scene, settings: RetentionSettings = FIVE_DAYS, now_ns: int = NOW_NS, **more: object
) -> Retention:
    by_log = {scene.log: scene for scene in scenes}

    def signer(log: str) -> Signer:
        return by_log[log].signer

    def publish(log: str) -> None:
        by_log[log].publish(log)

    return Retention(
        scenes[0].data_dir,
        settings,
        **{"signer": signer, "publish_leaf": publish, "now_ns": lambda: now_ns, **more},  # type: ignore[arg-type]
    )


def test_old_segments_of_every_log_go_and_the_figures_say_so(scene: Scene, tmp_path: Path) -> None:
    other = Scene(tmp_path, (30, 20, 1), log="1")
    other.cover()
    running = retention(scene, other)
    report = running.run_once()
    assert [len(log.deleted) for log in report.logs] == [3, 1]
    assert report.problems == ()
    assert not report.more
    status = running.status()
    assert (status.last_run_ns, status.deleted_segments, status.waiting, status.holds) == (NOW_NS, 4, 0, 0)
    assert status.deleted_bytes == sum(log.deleted_bytes for log in report.logs) > 0
    assert running.facts()["retention_deleted_segments"] == 4
    assert running.run_once().logs[0].deleted == ()
    assert running.status().deleted_segments == 4


def test_what_a_sink_has_still_to_deliver_stays(scene: Scene) -> None:
    first, second = scene.name(1), scene.name(2)
    asked: list[SegmentName] = []

    def needed_by(log: str, name: SegmentName) -> str:
        asked.append(name)
        return "" if name == first else "sink falco"

    report = retention(scene, needed_by=needed_by).run_once()
    assert report.logs[0].deleted == (first.stem,)
    assert second in asked


def test_without_limits_nothing_goes(scene: Scene) -> None:
    assert retention(scene, settings=RetentionSettings()).run_once().logs[0].deleted == ()


def test_under_a_hold_nothing_goes_until_it_is_lifted(scene: Scene) -> None:
    add_hold(REAL_FILES, scene.data_dir, HOLD)
    running = retention(scene)
    assert running.run_once().logs[0].deleted == ()
    assert running.status().holds == 1
    remove_hold(REAL_FILES, scene.data_dir, "h1", at=HOLD.created_at, by="ann", reason="closed")
    assert len(running.run_once().logs[0].deleted) == 3


def test_holds_that_cannot_be_read_stop_everything(scene: Scene) -> None:
    (scene.data_dir / HOLDS_FILE).write_text("{")
    running = retention(scene)
    report = running.run_once()
    assert report.logs == ()
    assert report.problems[0].startswith("nothing was deleted: ")
    assert "restore it from a copy" in running.status().problems[0]
    assert scene.left() == [1, 2, 3, 4, 5]


def test_while_holds_are_being_changed_nothing_goes(scene: Scene) -> None:
    with holding_still(REAL_FILES, scene.data_dir):
        assert "holds.lock" in retention(scene).run_once().problems[0]
    assert scene.left() == [1, 2, 3, 4, 5]


def test_a_hold_on_a_user_is_looked_up_in_the_index(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.cover()
    add_hold(REAL_FILES, tmp_path, Hold("h1", from_ns(NOW_NS), "root", "case", OfUser(AGENT.user)))
    late = retention(story, now_ns=NOW_NS + 99 * NS_PER_DAY)
    assert late.run_once().logs[0].deleted == ()  # no index yet: it cannot be told
    story.index()
    story.indexer.close()
    assert (tmp_path / INDEX_DIRECTORY).is_dir()
    assert late.run_once().logs[0].deleted == (story.stems[0], story.stems[2])
    assert story.left() == [2, 4]


def test_with_an_export_only_what_it_says_is_safe_goes(scene: Scene) -> None:
    running = retention(scene, freeable=lambda log: [scene.name(2), scene.name(5)])
    assert running.run_once().logs[0].deleted == (scene.stems[1],)
    asked: list[tuple[str, SegmentName]] = []

    def confirm(log: str, name: SegmentName) -> bool:
        asked.append((log, name))
        return False

    running = retention(scene, freeable=lambda log: [scene.name(1)], confirm=confirm)
    report = running.run_once()
    assert asked == [("0", scene.name(1))]
    assert report.logs[0].deleted == ()
    assert "its copy in S3" in report.problems[0]
    running = retention(
        scene, settings=RetentionSettings(max_age_days=5, require_export=False), freeable=lambda log: []
    )
    assert running.run_once().logs[0].deleted == (scene.stems[0], scene.stems[2])


def test_a_problem_of_one_log_does_not_keep_the_others(scene: Scene, tmp_path: Path) -> None:
    other = Scene(tmp_path, (30, 20, 1), log="1")
    other.cover()
    other.signer = new_signer()
    report = retention(other, scene).run_once()
    assert [log.log for log in report.logs] == ["0"]
    assert report.problems[0].startswith("log 1: ")
    assert other.left() == [1, 2, 3]


def test_what_waits_for_the_tree_is_counted(scene: Scene) -> None:
    def broken(_: str) -> None:
        raise LogFailed("sync tree", "tlog", "no space")

    running = retention(scene, publish_leaf=broken)
    running.run_once()
    assert running.status().waiting == 3
    assert "log 0: the tree did not take the tombstones" in running.status().problems[0]
    add_hold(REAL_FILES, scene.data_dir, HOLD)
    assert running.run_once().problems == ()
    assert (running.status().waiting, running.status().kept) == (3, 3)


def test_nobody_has_to_be_asked_to_publish(scene: Scene) -> None:
    signer = scene.signer
    running = Retention(scene.data_dir, FIVE_DAYS, signer=lambda _: signer, now_ns=lambda: NOW_NS)
    assert len(running.run_once().logs[0].waiting) == 3
    scene.cover()
    assert len(running.run_once().logs[0].deleted) == 3


def test_rows_follow_their_segments(scene: Scene) -> None:
    rows = scene.data_dir / "rows" / "0" / "api_calls"
    rows.mkdir(parents=True)
    for stem in scene.stems:
        (rows / f"{stem}.ndjson.zst").touch()
    settings = RetentionSettings(max_age_days=5, rows_max_age_days=8.5)
    assert retention(scene, settings=settings).run_once().rows_deleted == 1
    assert retention(scene).run_once().rows_deleted == 2
    assert len(list(rows.iterdir())) == 2


def test_changes_of_holds_are_told_once_and_after_a_crash_again(scene: Scene) -> None:
    told: list[tuple[str, str]] = []

    def listen(change: Change) -> None:
        told.append((change.what, change.hold.id))

    add_hold(REAL_FILES, scene.data_dir, HOLD)
    retention(scene, on_hold_change=listen).run_once()
    retention(scene, on_hold_change=listen).run_once()
    assert told == [("add", "h1")]
    remove_hold(REAL_FILES, scene.data_dir, "h1", at=HOLD.created_at, by="ann", reason="closed")

    def full(change: Change) -> None:
        listen(change)
        raise OSError(28, "no space")

    assert retention(scene, on_hold_change=full).run_once().logs == ()  # said first, then deleted
    assert scene.left() == [1, 2, 3, 4, 5]
    retention(scene, on_hold_change=listen).run_once()
    assert told == [("add", "h1"), ("remove", "h1"), ("remove", "h1")]
    (scene.data_dir / TOLD_FILE).write_text("garbled")
    retention(scene, on_hold_change=listen).run_once()
    assert told[3:] == [("add", "h1"), ("remove", "h1")]


def test_a_running_writer_is_not_disturbed(tmp_path: Path) -> None:
    """Small segments come, are sealed, get their leaves and go, while records are appended."""
    directory = tmp_path / "log" / "0"
    signer, failures, commits = new_signer(), [], Commits()
    log = SegmentLog.open(
        directory,
        identity=LogIdentity("gw", ORIGIN, 0),
        on_commit=commits,
        on_failure=failures.append,
        settings=LogSettings(segment_bytes=16 * 1024, first_segment_bytes=16 * 1024, spares=1),
    )
    running = Retention(
        tmp_path,
        RetentionSettings(max_bytes=64 * 1024),
        signer=lambda _: signer,
        publish_leaf=publisher(directory, signer),
    )
    publish = publisher(directory, signer)
    stop, rng = threading.Event(), random.Random(17)
    worker = threading.Thread(target=_until(stop, lambda: (publish("0"), running.run_once())))
    worker.start()
    try:
        for number in range(1, 1001):
            position = log.append(rng.randbytes(1000), urgent=number % 10 == 0)
            if number % 10 == 0:
                commits.wait_for(position)
            if number % 100 == 0:
                for _ in _read_on(directory):
                    pass
    finally:
        log.close(30)
        stop.set()
        worker.join(30)
    for _ in range(3):
        publish("0")
        assert running.run_once().problems == ()
    assert failures == []
    assert running.status().deleted_segments > 5
    seqs = [position.record_seq for position, _ in iter_records(directory)]
    assert seqs == list(range(seqs[0], 1001))
    assert seqs[0] > 100


class Commits:
    """How far a log is durable, for a thread that waits for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._durable = 0

    def __call__(self, commit: Commit) -> None:
        with self._changed:
            self._durable = commit.durable_position
            self._changed.notify_all()

    def wait_for(self, position: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._durable >= position, 30)


def _until(stop: threading.Event, work: Callable[[], object]) -> Callable[[], None]:
    def loop() -> None:
        while not stop.is_set():
            work()

    return loop


def _read_on(directory: Path) -> list[int]:
    """Read like a reader that is overtaken by retention: it may be told that a segment is gone, nothing else."""
    try:
        return [position.record_seq for position, _ in iter_records(directory)]
    except FileNotFoundError:
        return []

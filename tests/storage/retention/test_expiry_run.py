"""Retention applied to a log on the disk: what goes, what stays, and what a crash leaves."""

import contextlib
import errno
import random
import shutil
from pathlib import Path

import msgspec
import pytest

from storage.encryption.keys import NO_KEYS, Envelope, KeyMaker, KeyRing, Wrap
from storage.errors import LogFailed, StorageError
from storage.files import REAL_FILES
from storage.format import SegmentName
from storage.notary.notary import Notary
from storage.notary.tombstone import open_tombstone
from storage.reader import iter_records
from storage.recovery import recover
from storage.retention import expiry_run
from storage.retention.decide import NS_PER_DAY, Policy
from storage.retention.expiry_run import Expiry
from storage.retention.holds import Between, Everything, Hold, OfSession, OfUser, Span, from_ns
from tests.kit.expiring import NOW_NS, ORIGIN, Scene, publisher
from tests.kit.faulty_files import CrashFiles, FailingFiles

HOLD = Hold("h1", from_ns(NOW_NS), "root", "case 17", Everything())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.cover()
    return scene


def records_left(scene: Scene) -> list[int]:
    return [position.record_seq for position, _ in iter_records(scene.directory)]


# --- what goes ----------------------------------------------------------------------------------


def test_old_segments_go_leave_signed_tombstones_and_the_log_reads_on_over_the_gap(scene: Scene) -> None:
    report = scene.expire()
    assert report.deleted == tuple(scene.stems[:3])
    assert report.waiting == report.problems == ()
    assert not report.more
    assert scene.left() == [4, 5]
    assert scene.buried() == [1, 2, 3]
    assert records_left(scene) == [7, 8, 9, 10]
    data = scene.path(2, ".tombstone").read_bytes()
    tombstone = open_tombstone(data, [scene.signer.verifier])
    assert (tombstone.segment, tombstone.number) == (scene.stems[1], 2)
    assert (tombstone.first_record_seq, tombstone.next_record_seq) == (3, 5)
    assert (tombstone.deleted_ns, tombstone.reason) == (NOW_NS, "retention: older than 5 days")
    assert report.deleted_bytes > 3 * 4096


def test_a_second_run_has_nothing_to_do(scene: Scene) -> None:
    scene.expire()
    before = sorted(path.name for path in scene.directory.rglob("*"))

    def unwanted(_: str) -> None:
        raise AssertionError("nothing is to be published")

    report = scene.expire(publish=unwanted)
    assert (report.deleted, report.waiting, report.problems) == ((), (), ())
    assert sorted(path.name for path in scene.directory.rglob("*")) == before


def test_a_gap_in_the_middle_is_read_over(scene: Scene) -> None:
    hold = Hold("h1", from_ns(NOW_NS), "root", "case 17", OfSession("S"))

    class Lookup:
        def has_records(self, scope: OfSession | OfUser, span: Span) -> bool:
            return span.stem in (scene.stems[0], scene.stems[2])

    choices = scene.outlook(holds=[hold], lookup=Lookup()).plan()
    assert [choice.against for choice in choices[:3]] == [("legal hold h1",), (), ("legal hold h1",)]
    assert scene.expire(holds=[hold], lookup=Lookup()).deleted == (scene.stems[1],)
    assert records_left(scene) == [1, 2, 5, 6, 7, 8, 9, 10]


def test_without_a_tree_or_its_coverage_nothing_goes(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.expire().deleted == ()
    assert "no signed checkpoint covers it yet" in scene.outlook(files=REAL_FILES).plan()[0].against
    assert scene.left() == [1, 2, 3, 4, 5]


def test_under_a_hold_nothing_goes(scene: Scene) -> None:
    assert scene.expire(holds=[HOLD]).deleted == ()
    assert scene.buried() == []


def test_what_somebody_still_has_to_read_stays(scene: Scene) -> None:
    report = scene.expire(needed_by=lambda log, name: "sink siem" if name.number == 2 else "")
    assert report.deleted == (scene.stems[0], scene.stems[2])
    assert scene.left() == [2, 4, 5]
    (choice,) = [
        c for c in scene.outlook(needed_by=lambda *_: "sink siem").plan() if c.facts.name.number == 2
    ]
    assert choice.against == ("not read yet by sink siem",)


def test_where_export_is_required_only_what_is_verified_and_confirmed_goes(scene: Scene) -> None:
    policy = Policy(max_age_ns=5 * NS_PER_DAY)
    asked: list[SegmentName] = []

    def confirm(name: SegmentName) -> bool:
        asked.append(name)
        return name == scene.name(1)

    report = scene.expire(policy, exported=(1, 2, 4, 5), confirm=confirm)
    assert asked == [scene.name(1), scene.name(2)]
    assert report.deleted == (scene.stems[0],)
    (problem,) = report.problems
    assert problem.startswith(scene.stems[1])
    assert "its copy in S3 is missing" in problem
    assert scene.left() == [2, 3, 4, 5]


def test_nobody_is_asked_to_confirm_where_export_is_not_required(scene: Scene) -> None:
    def confirm(_: SegmentName) -> bool:
        raise AssertionError

    assert len(scene.expire(confirm=confirm).deleted) == 3


def test_a_log_that_is_too_large_loses_its_oldest_and_what_was_set_aside_counts(scene: Scene) -> None:
    scene.path(1, ".torn").write_bytes(bytes(100_000))
    total = sum(path.stat().st_size for path in scene.directory.glob("*.kseg"))
    policy = Policy(max_bytes=total, require_export=False)
    sizes: dict[tuple[str, str], int] = {}
    assert scene.expire(policy, sizes=sizes).deleted == (scene.stems[0],)
    assert not scene.path(1, ".torn").exists()
    assert len(sizes) == 6  # and they are not looked at again
    assert (
        scene.expire(Policy(max_bytes=1, require_export=False), sizes=dict.fromkeys(sizes, 0)).deleted == ()
    )


def test_the_size_of_a_segment_being_written_is_not_remembered(scene: Scene) -> None:
    scene.add(0, state="open")
    sizes: dict[tuple[str, str], int] = {}
    assert len(scene.outlook(Policy(max_bytes=1, require_export=False), sizes=sizes).plan()) == 6
    assert len(sizes) == 5


def test_recovered_segments_go_by_the_same_rule(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ())
    scene.add(9, state="recovered")
    scene.add(1)
    scene.path(1, ".torn").write_bytes(b"torn")
    scene.cover()
    assert scene.expire().deleted == ()  # its end is its successor's begin
    assert scene.expire(now_ns=NOW_NS + 5 * NS_PER_DAY).deleted == (scene.stems[0],)
    assert sorted(path.suffix for path in scene.directory.iterdir() if path.stem == scene.stems[0]) == [
        ".tombstone"
    ]


def test_a_segment_without_a_header_page_is_kept_as_evidence(scene: Scene) -> None:
    scene.path(1).write_bytes(bytes(8192))
    choice = scene.outlook().plan()[0]
    assert not choice.delete
    assert "its header page cannot be read" in choice.against[0]


def test_exchanged_files_are_kept_as_evidence(scene: Scene) -> None:
    content = scene.path(1).read_bytes()
    scene.path(1).write_bytes(scene.path(2).read_bytes())
    scene.path(2).write_bytes(content)
    report = scene.expire()
    assert report.deleted == (scene.stems[2],)
    assert "files were exchanged" in scene.outlook().plan()[0].against[0]


def test_a_run_is_bounded_and_says_that_there_is_more(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry_run, "MAX_DELETED", 2)
    report = scene.expire()
    assert (report.deleted, report.more) == (tuple(scene.stems[:2]), True)
    monkeypatch.setattr(expiry_run, "MAX_DELETED", 256)
    monkeypatch.setattr(expiry_run, "MAX_DELETED_BYTES", 1)
    scene.add(0)
    scene.cover()
    late = scene.expire(now_ns=NOW_NS + 99 * NS_PER_DAY)
    assert (late.deleted, late.more) == ((scene.stems[2],), True)


# --- what comes between ---------------------------------------------------------------------------


def test_what_the_tree_does_not_take_stays_and_goes_with_a_later_run(scene: Scene) -> None:
    def broken(_: str) -> None:
        raise LogFailed("sync tree", "tlog", "no space")

    report = scene.expire(publish=broken)
    assert (report.deleted, report.waiting) == ((), tuple(scene.stems[:3]))
    assert "no space" in report.problems[0]
    assert scene.left() == [1, 2, 3, 4, 5]
    tombstones = [scene.path(number, ".tombstone").read_bytes() for number in (1, 2, 3)]
    report = scene.expire()
    assert report.deleted == tuple(scene.stems[:3])
    assert [scene.path(number, ".tombstone").read_bytes() for number in (1, 2, 3)] == tombstones


def test_while_the_tree_takes_no_tombstones_no_further_ones_are_made_and_nothing_is_read_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = NOW_NS + 99 * NS_PER_DAY
    scene.expire(publish=lambda _: None)

    def unwanted(*_: object) -> None:
        raise AssertionError("a segment is read whole although it stays")

    monkeypatch.setattr(expiry_run, "check_bytes", unwanted)
    report = scene.expire(now_ns=late, publish=lambda _: None)
    assert (report.waiting, scene.buried()) == (tuple(scene.stems[:3]), [1, 2, 3])
    monkeypatch.undo()
    report = scene.expire(now_ns=late)
    assert report.deleted == tuple(scene.stems[:4])


def test_a_segment_that_vanished_under_its_tombstone_is_said(scene: Scene) -> None:
    scene.expire(publish=lambda _: None)

    def publish(log: str) -> None:
        scene.publish(log)
        scene.path(1).unlink()

    report = scene.expire(publish=publish)
    assert report.deleted == tuple(scene.stems[1:3])
    assert scene.stems[0] in report.problems[0]


def test_it_is_enough_that_somebody_else_brings_the_tombstones_into_the_tree(scene: Scene) -> None:
    assert scene.expire(publish=lambda _: None).deleted == ()
    scene.cover()
    assert scene.expire(publish=lambda _: None).deleted == tuple(scene.stems[:3])


def test_a_leaf_that_a_power_cut_can_take_back_is_not_enough(scene: Scene) -> None:
    def publish(log: str) -> None:
        scene.publish(log)
        (scene.directory / "tlog" / "synced").write_bytes(b"3\n")

    assert scene.expire(publish=publish).waiting == tuple(scene.stems[:3])
    assert scene.left() == [1, 2, 3, 4, 5]


def test_a_hold_that_comes_after_the_tombstone_keeps_the_segment(scene: Scene) -> None:
    scene.expire(publish=lambda _: None)
    report = scene.expire(holds=[HOLD])
    assert (report.deleted, report.waiting, report.kept) == ((), (), tuple(scene.stems[:3]))
    assert report.problems == ()
    assert scene.left() == [1, 2, 3, 4, 5]
    scene.cover()
    assert scene.expire().deleted == tuple(scene.stems[:3])


def test_a_tombstone_that_somebody_else_signed_deletes_nothing(scene: Scene, tmp_path: Path) -> None:
    other = Scene(tmp_path / "other", (9, 8, 1))
    other.cover()
    other.expire(publish=lambda _: None)
    forged = other.path(1, ".tombstone").read_bytes()
    scene.path(4, ".tombstone").write_bytes(forged)
    scene.cover()
    report = scene.expire(Policy())
    assert report.deleted == ()
    assert "not signed by a trusted key" in report.problems[0]
    assert 4 in scene.left()


def test_a_tombstone_of_another_segment_or_of_other_bytes_deletes_nothing(scene: Scene) -> None:
    scene.expire(publish=lambda _: None)
    scene.path(4, ".tombstone").write_bytes(scene.path(1, ".tombstone").read_bytes())
    with scene.path(2).open("r+b") as file:
        file.truncate(5000)
    scene.cover()
    report = scene.expire()
    assert report.deleted == (scene.stems[0], scene.stems[2])
    assert sorted(problem.partition(": ")[2] for problem in report.problems) == [
        "its tombstone is of other bytes: keep it and look into it",
        f"its tombstone is that of {scene.stems[0]}",
    ]
    assert scene.left() == [2, 4, 5]


def test_wrapped_keys_go_one_run_later(scene: Scene) -> None:
    scene.path(1, ".keys").write_text("{}")
    scene.expire()
    assert scene.path(1, ".keys").exists()
    scene.expire()
    assert not scene.path(1, ".keys").exists()


def test_keys_beside_a_forged_tombstone_stay(scene: Scene) -> None:
    scene.expire()
    scene.path(1, ".keys").write_text("{}")
    scene.path(1, ".tombstone").write_bytes(b"forged")
    report = scene.expire()
    assert scene.path(1, ".keys").exists()
    assert report.problems[0].startswith(scene.stems[0])


def test_a_segment_that_vanishes_meanwhile_is_somebody_elses_deletion(scene: Scene) -> None:
    outlook = scene.outlook()
    scene.path(1).unlink()
    assert outlook.plan()[0].against == ("it was renamed or removed just now",)
    outlook = scene.outlook()
    outlook.extent(outlook.entries[0])
    scene.path(2).unlink()  # between the decision and the tombstone
    report = Expiry(outlook).run(scene.signer, scene.publish)
    assert report.deleted == (scene.stems[2],)
    assert scene.stems[1] in report.problems[0]
    assert scene.buried() == [3]


# --- with a reader, with a writer -----------------------------------------------------------------


def test_a_reader_under_way_ends_at_a_segment_that_went_and_finds_the_rest_at_its_next_look(
    scene: Scene,
) -> None:
    records = iter_records(scene.directory)
    first = next(records)[0]
    scene.expire()
    assert next(records)[0].record_seq == 2  # its file is open
    with pytest.raises(FileNotFoundError):
        next(records)
    with pytest.raises(FileNotFoundError):
        next(iter_records(scene.directory, start=first.next()))
    assert records_left(scene) == [7, 8, 9, 10]


def test_a_start_continues_the_numbers_after_everything_else_went(scene: Scene) -> None:
    scene.expire(now_ns=NOW_NS + 99 * NS_PER_DAY)
    assert scene.left() == [5]
    recovery = recover(REAL_FILES, scene.directory)
    assert (recovery.next_segment_number, recovery.next_record_seq) == (6, 11)
    assert scene.buried() == [1, 2, 3, 4]


# --- crashes --------------------------------------------------------------------------------------


def test_a_failure_at_any_call_leaves_no_segment_deleted_without_its_tombstone(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "log dir", (9, 8, 7, 1))
    scene.cover()
    scene.path(1, ".torn").write_bytes(b"torn")
    scene.path(1, ".keys").write_text("{}")
    shutil.copytree(scene.data_dir, tmp_path / "as it was")
    fail_at, failed = 1, True
    while failed:
        shutil.rmtree(scene.data_dir)
        shutil.copytree(tmp_path / "as it was", scene.data_dir)
        failing = FailingFiles(fail_at, errno.EIO)
        with contextlib.suppress(OSError, StorageError):
            scene.expire(files=failing, publish=publisher(scene.directory, scene.signer, failing))
        failed = failing.failed
        assert set(range(1, 3)) - set(scene.left()) <= set(scene.buried())
        for _ in range(2):
            scene.expire()
        assert (scene.left(), scene.buried()) == ([3, 4], [1, 2])
        assert not list(scene.directory.glob("*.torn")) + list(scene.directory.glob("*.keys"))
        assert records_left(scene) == [5, 6, 7, 8]
        fail_at += 1
    assert fail_at > 20


def _image_of(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_every_power_cut_leaves_each_segment_whole_or_with_a_tombstone_in_the_tree(tmp_path: Path) -> None:
    scene = Scene(tmp_path, (9, 8, 7, 1))
    scene.cover()
    scene.path(1, ".torn").write_bytes(b"torn")
    before = _image_of(tmp_path)
    rng, cut_at, images = random.Random(17), 1, 0
    while True:
        files = CrashFiles(before, cut_at)
        with contextlib.suppress(OSError, StorageError):
            scene.expire(files=files, publish=publisher(scene.directory, scene.signer, files))
        if files.calls < cut_at:
            break  # it ended before the cut
        for image in _some(files, rng):
            images += 1
            _check_image(scene, image, before)
        cut_at += 1
    assert cut_at > 20
    assert images > 80


def _some(files: CrashFiles, rng: random.Random) -> list[CrashFiles]:
    """The extremes, and a few of what lies between."""
    names = files.pending_names()
    extremes = [files.image(lambda _, data: None, 0), files.image(lambda _, data: data, names)]
    return extremes + [
        files.image(lambda _, data: data if rng.random() < 0.5 else None, rng.randint(0, names))
        for _ in range(2)
    ]


def _check_image(scene: Scene, image: CrashFiles, before: dict[Path, bytes]) -> None:
    there = {name for name in image.names(scene.directory)}
    for number in (1, 2):
        path = scene.path(number)
        if path.name in there:
            assert _content(image, path) == before[path]
        else:
            grave = _content(image, scene.path(number, ".tombstone"))
            assert open_tombstone(grave, [scene.signer.verifier]).number == number
    # the gateway starts again, and retention finishes
    publish = publisher(scene.directory, scene.signer, image)
    publish("0")
    for _ in range(2):
        scene.expire(files=image, publish=publish)
    names = set(image.names(scene.directory))
    assert {scene.path(number).name for number in (1, 2)} & names == set()
    assert {scene.path(number, ".tombstone").name for number in (1, 2)} <= names
    notary = Notary.open(image, scene.directory, scene.signer)  # the tree leads to its root
    notary.close()
    assert [seq for seq in (p.record_seq for p, _ in iter_records(scene.directory, files=image))] == [
        5,
        6,
        7,
        8,
    ]


def _content(files: CrashFiles, path: Path) -> bytes:
    fd = files.open_read(path)
    return files.read(fd, files.size(fd), 0)


# --- encrypted ------------------------------------------------------------------------------------


class PlainWrapper:
    """Wraps nothing at all, for a test that is not about keys. opened: how often it was asked."""

    opened = 0

    def wrap(self, key: bytes, segment_id: str) -> Wrap:
        return Wrap("plain:1", "plain", key)

    def unwrap(self, envelope: Envelope) -> bytes | None:
        self.opened += 1
        return envelope.wraps[0].blob


class KnowsAll:
    """An index that has no record of anybody."""

    def has_records(self, scope: OfSession | OfUser, span: Span) -> bool:
        return False


def test_holds_on_people_are_on_what_the_index_could_not_read(tmp_path: Path) -> None:
    wrapper = PlainWrapper()
    scene = Scene(tmp_path, (), key_maker=KeyMaker(ORIGIN, [wrapper]))
    for age in (9, 8, 7, 1):
        scene.add(age)
    scene.cover()
    scene.path(2, ".keys").rename(scene.path(2, ".shredded"))
    hold = Hold("h1", from_ns(NOW_NS), "root", "case 17", OfUser("ann"))

    def against(ring: KeyRing, hold: Hold = hold) -> list[tuple[str, ...]]:
        choices = scene.outlook(holds=[hold], lookup=KnowsAll(), key_ring=ring).plan()
        return [choice.against for choice in choices[:2]]

    held = ("legal hold h1",)
    assert against(NO_KEYS) == [held, held]
    assert wrapper.opened == 0
    assert against(KeyRing([wrapper])) == [(), held]
    assert wrapper.opened == 1
    long_ago = msgspec.structs.replace(hold, scope=Between(until=from_ns(0)))
    assert against(KeyRing([wrapper]), long_ago) == [(), ()]
    assert wrapper.opened == 1  # times are in the clear
    report = scene.expire(holds=[long_ago])
    assert report.deleted == tuple(scene.stems[:2])
    assert scene.path(2, ".shredded").exists()  # the tree has its hash

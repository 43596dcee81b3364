"""`kubetape store`: list, print, expire; on a disk that is whole, damaged, or in use."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.store import store as group
from gateway.export.store import Listed
from gateway.store.s3_files import S3Files
from storage.encryption.keys import KeyMaker
from storage.encryption.local_key import ensure_local_key
from storage.errors import NoKey, StorageError
from storage.files import REAL_FILES
from storage.notary.log_key import open_signer
from storage.object_keys import Place, segment_key, tlog_key
from storage.records import LogStopped, encode_record
from storage.retention.holds import Everything, Hold, from_ns
from storage.retention.holds_file import add_hold
from storage.retention.inventory import list_entries
from storage.sources import LOCK_NAME
from tests.kit.expiring import NOW_NS, ORIGIN, Scene, publisher
from tests.kit.segments import flip


def own_key(scene: Scene) -> Scene:
    """The scene's tree signed with the data directory's own key, as a gateway does."""
    scene.signer = open_signer(scene.data_dir, ORIGIN)
    scene.publish = publisher(scene.directory, scene.signer)
    scene.cover()
    return scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return own_key(Scene(tmp_path))


def store(scene: Scene, *arguments: str) -> Result:
    return CliRunner().invoke(group, [*arguments, "--data-dir", str(scene.data_dir)])


def rows(scene: Scene, *arguments: str) -> list[dict[str, object]]:
    ran = store(scene, "ls", "-o", "json", *arguments)
    assert ran.exit_code == 0, ran.output
    found: list[dict[str, object]] = json.loads(ran.stdout)
    return found


# --- ls -------------------------------------------------------------------------------------------


def test_segments_are_listed_oldest_first_with_what_is_known_of_them(scene: Scene) -> None:
    scene.add(0, state="open")
    lines = [line.split("\t") for line in store(scene, "ls").stdout.splitlines()]
    assert lines[0] == [
        "LOG",
        "SEGMENT",
        "STATE",
        "RECORDS",
        "FIRST",
        "LAST",
        "SIZE",
        "PROVEN",
        "EXPORTED",
        "HOLDS",
    ]
    assert [line[1] for line in lines[1:]] == scene.stems
    assert lines[1][2:6] == ["sealed", "2", "2026-09-12T14:13:20.000Z", "2026-09-12T14:13:20.000Z"]
    assert lines[1][7:] == ["yes", "-", "-"]
    assert (lines[6][2], lines[6][7]) == ("open", "no")
    assert [row["segment"] for row in rows(scene, "--limit", "2")] == scene.stems[-2:]
    wide = store(scene, "ls", "-o", "wide").stdout
    assert "nobody: in the clear" in wide


def test_what_was_deleted_is_listed_from_its_tombstone_and_what_was_taken_is_missing(scene: Scene) -> None:
    scene.expire()
    scene.path(2, ".tombstone").write_bytes(b"garbled")
    scene.path(3, ".tombstone").rename(scene.path(3, ".torn"))
    found = rows(scene)
    assert [row["state"] for row in found] == ["deleted", "deleted", "missing", "sealed", "sealed"]
    assert (found[0]["records"], found[0]["why"]) == (2, "retention: older than 5 days")
    assert found[0]["deleted"] == "2026-09-21T14:13:20.000Z"
    assert "cannot be read" in str(found[1]["why"])
    assert found[2]["why"] == "gone, without a tombstone"


def test_holds_and_exports_are_shown(scene: Scene) -> None:
    add_hold(REAL_FILES, scene.data_dir, Hold("h1", from_ns(NOW_NS), "root", "case", Everything()))
    (scene.data_dir / "export").mkdir()
    lines = [
        '{"store":"s3://b/p"}',
        f'{{"key":"p/v1/segments/x/{scene.stems[0]}.kseg","sha256":"00","size":1}}',
        f'{{"key":"p/v1/segments/x/{scene.stems[1]}.tombstone","sha256":"00","size":1}}',
        '{"key":"torn',
    ]
    (scene.data_dir / "export" / "ledger.jsonl").write_text("\n".join(lines))
    found = rows(scene)
    assert [row["exported"] for row in found] == [True, False, False, False, False]
    assert all(row["holds"] == ["h1"] for row in found)


def test_damage_is_said_in_the_row(scene: Scene) -> None:
    flip(scene.path(1), 100)
    flip(scene.path(2), scene.path(2).stat().st_size - 1)
    found = rows(scene)
    assert (found[0]["records"], found[0]["encrypted"]) == (None, None)
    assert "header page" in str(found[0]["why"])
    assert "trailer" in str(found[1]["why"])
    assert store(scene, "ls", "-o", "wide").exit_code == 0


def test_a_tree_that_cannot_be_read_is_a_note_and_no_end(scene: Scene) -> None:
    (scene.directory / "tlog" / "checkpoint").write_text("garbled")
    ran = store(scene, "ls")
    assert "note: log 0: its tree cannot be read" in ran.stderr
    assert ran.stdout.splitlines()[1].split("\t")[7] == "-"


def test_for_whom_a_segment_is_encrypted(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path, (), key_maker=KeyMaker(ORIGIN, [ensure_local_key(tmp_path / "keys" / "local.key")])
    )
    for age in (3, 2, 1):
        scene.add(age)
    own_key(scene)
    scene.path(2, ".keys").rename(scene.path(2, ".shredded"))
    scene.path(3, ".keys").unlink()
    found = rows(scene)
    assert str(found[0]["encrypted_for"]).startswith("['local:")
    assert [row["state"] for row in found] == ["sealed", "shredded", "sealed"]
    assert "is missing beside" in str(found[2]["why"])
    assert "nobody any more" in store(scene, "ls", "-o", "wide").stdout


def test_one_log_or_its_tree_alone(scene: Scene, tmp_path: Path) -> None:
    other = Scene(tmp_path, (3, 1), log="1")
    assert [row["log"] for row in rows(scene, "--log", "1")] == ["1", "1"]
    assert "there is no log 7; there are: 0, 1" in store(scene, "ls", "--log", "7").stderr
    scene.expire()
    summaries = rows(scene, "--trees")
    assert [(one["log"], one["segments"], one["deleted"]) for one in summaries] == [("0", 2, 3), ("1", 2, 0)]
    assert summaries[0]["leaves"] == 5 * 2 + 5 + 3
    assert summaries[0]["proven_up_to"] == "2026-09-20T14:13:20.000Z"
    assert (summaries[0]["origin"], summaries[0]["problem"]) == (ORIGIN, "")
    assert "missing" in str(summaries[1]["problem"])
    assert store(scene, "ls", "--trees").stdout.startswith("LOG\tSEGMENTS")
    assert other.left() == [1, 2]


def test_a_segment_that_goes_while_the_list_is_made_is_left_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = list_entries(REAL_FILES, scene.directory)
    scene.path(1).unlink()
    monkeypatch.setattr("gateway.cli.store.listing.list_entries", lambda files, directory: entries)
    assert [row["segment"] for row in rows(scene)] == scene.stems[1:]


# --- cat ------------------------------------------------------------------------------------------


def test_a_segment_is_printed_as_json_lines(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ())
    scene.add(1, content=[encode_record(LogStopped(NOW_NS, "drained")), b"\xc1 no record"])
    for named in (scene.stems[0], scene.stems[0][:30], str(scene.path(1))):
        lines = [json.loads(line) for line in store(scene, "cat", named).stdout.splitlines()]
        assert [(line["log"], line["seq"], line["type"]) for line in lines] == [
            ("0", 1, "LogStopped"),
            ("0", 2, "Unreadable"),
        ]
    assert lines[0]["reason"] == "drained"


def test_a_name_must_mean_one_segment(scene: Scene) -> None:
    assert "there is no such segment" in store(scene, "cat", "9").stderr
    assert "5 segments have names that begin so" in store(scene, "cat", "1").stderr
    assert "have names that begin so" in store(scene, "cat", "").stderr


def test_of_a_deleted_segment_it_says_when_and_why(scene: Scene) -> None:
    scene.expire()
    ran = store(scene, "cat", scene.stems[0])
    assert "was deleted on 2026-09-21T14:13:20Z (retention: older than 5 days)" in ran.stderr
    assert "--store s3://BUCKET/PREFIX" in ran.stderr
    scene.path(1, ".tombstone").rename(scene.path(1, ".torn"))
    assert "no tombstone says why" in store(scene, "cat", scene.stems[0]).stderr


def test_damage_ends_the_output_with_its_place(scene: Scene) -> None:
    flip(scene.path(1), 4096 + 50)
    ran = store(scene, "cat", scene.stems[0])
    assert isinstance(ran.exception, StorageError)
    assert "byte 4096" in str(ran.exception)


def test_an_encrypted_segment_needs_its_key(tmp_path: Path) -> None:
    local = tmp_path / "keys" / "local.key"
    scene = Scene(tmp_path, (), key_maker=KeyMaker(ORIGIN, [ensure_local_key(local)]))
    scene.add(1, content=[encode_record(LogStopped(NOW_NS, "drained"))])
    assert '"drained"' in store(scene, "cat", scene.stems[0]).stdout
    elsewhere = tmp_path / "elsewhere.key"
    shutil.move(local, elsewhere)
    ran = store(scene, "cat", scene.stems[0])
    assert isinstance(ran.exception, NoKey)
    assert '"drained"' in store(scene, "cat", scene.stems[0], "--key", str(elsewhere)).stdout


# --- expire ---------------------------------------------------------------------------------------

LATE = ("--max-age-days", "0.5")
"""The scene lies in the past of any clock that runs this."""


def test_a_dry_run_says_what_would_go_and_why_the_rest_stays(scene: Scene) -> None:
    ran = store(scene, "expire", "--dry-run", *LATE)
    lines = [line.split("\t") for line in ran.stdout.splitlines()]
    assert lines[0] == ["LOG", "SEGMENT", "ACTION", "DUE", "KEPT BECAUSE"]
    assert [line[2] for line in lines[1:]] == ["delete"] * 4 + ["keep"]
    assert lines[1][3:] == ["older than 0.5 days", "-"]
    assert lines[5][3:] == ["-", "the newest: the next start continues its numbers"]
    data = json.loads(store(scene, "expire", "--dry-run", "--require-export", *LATE, "-o", "json").stdout)
    assert data[0]["kept_because"] == ["not verified in S3 yet"]
    assert not data[0]["delete"]
    assert scene.left() == [1, 2, 3, 4, 5]
    assert store(scene, "expire", "--dry-run", *LATE, "-o", "name").stdout.split() == scene.stems


def test_what_is_due_goes_with_tombstones_in_the_tree(scene: Scene) -> None:
    ran = store(scene, "expire", *LATE)
    assert ran.stdout.splitlines() == [f"deleted {stem}" for stem in scene.stems[:4]]
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert (scene.left(), scene.buried()) == ([5], [1, 2, 3, 4])
    assert rows(scene)[0]["state"] == "deleted"


def test_a_limit_of_bytes_from_a_configuration(scene: Scene) -> None:
    config = scene.data_dir / "kubetape.yaml"
    config.write_text("clusters: [{inCluster: true}]\nrecord: {retention: {maxBytes: 10000}}\n")
    ran = store(scene, "expire", "--config", str(config))
    assert ran.exit_code == 0, ran.output
    assert scene.left() == [4, 5]


def test_where_export_is_required_only_a_gateway_deletes(scene: Scene) -> None:
    ran = store(scene, "expire", "--require-export", *LATE)
    assert "only a running gateway asks the bucket" in str(ran.exception)
    assert scene.left() == [1, 2, 3, 4, 5]


def test_beside_a_running_gateway_it_only_looks(scene: Scene) -> None:
    lock = REAL_FILES.lock(scene.directory / LOCK_NAME)
    try:
        assert "belongs to a running gateway" in str(store(scene, "expire", *LATE).exception)
        assert store(scene, "expire", "--dry-run", *LATE).exit_code == 0
    finally:
        REAL_FILES.close(lock)
    assert scene.left() == [1, 2, 3, 4, 5]
    assert store(scene, "expire", *LATE).exit_code == 0


def test_what_does_not_go_is_said_with_exit_code_1(scene: Scene) -> None:
    scene.path(1, ".tombstone").write_bytes(b"garbled")
    ran = store(scene, "expire", *LATE)
    assert ran.exit_code == 1
    assert f"warning: log 0: {scene.stems[0]}: " in ran.stderr
    assert scene.left() == [1, 5]


def test_what_waits_for_a_hold_is_said(scene: Scene) -> None:
    scene.expire(now_ns=NOW_NS, publish=lambda _: None)
    add_hold(REAL_FILES, scene.data_dir, Hold("h1", from_ns(NOW_NS), "root", "case", Everything()))
    ran = store(scene, "expire", *LATE)
    assert ran.stdout.splitlines() == [f"not deleted yet {stem}" for stem in scene.stems[:3]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "there is no limit"), (("--max-age-days", "-1"), "maxAgeDays"), (("--max-bytes", "0"), "maxBytes")],
)
def test_limits_must_be_given_and_make_sense(scene: Scene, arguments: tuple[str, ...], message: str) -> None:
    ran = store(scene, "expire", *arguments)
    assert ran.exit_code == 2
    assert message in ran.stderr


def test_a_log_without_any_readable_segment_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path, (9,))
    flip(scene.path(1), 100)
    assert "no segment of it says what log it is" in str(store(scene, "expire", *LATE).exception)


def test_other_directories_are_refused(tmp_path: Path) -> None:
    for arguments in (("ls",), ("cat", "x"), ("expire", *LATE)):
        ran = CliRunner().invoke(group, [*arguments, "--data-dir", str(tmp_path)])
        assert "holds no log/ directory" in ran.stderr


# --- a bucket -------------------------------------------------------------------------------------


class MemoryBucket:
    """Objects by key, as a bucket gives them to a reader."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects

    def list(self, prefix: str) -> Iterator[Listed]:
        for key, body in sorted(self._objects.items()):
            if key.startswith(prefix):
                yield Listed(key, len(body), "etag")

    def get(self, key: str, limit_bytes: int) -> bytes:
        return self._objects[key]

    def get_range(self, key: str, start: int, stop: int, etag: str = "") -> bytes:
        return self._objects[key][start:stop]


def exported(scene: Scene) -> MemoryBucket:
    """What an export of the scene leaves in a bucket."""
    place = Place("records", "cluster", "gw", 0)
    objects = {
        tlog_key("records", ORIGIN, path.relative_to(scene.directory / "tlog").as_posix()): path.read_bytes()
        for path in (scene.directory / "tlog").rglob("*")
        if path.is_file() and path.name != "synced"
    }
    for number in range(1, len(scene.stems) + 1):
        for suffix in (".kseg", ".tombstone"):
            if scene.path(number, suffix).exists():
                key = segment_key(place, scene.name(number), suffix)
                objects[key] = scene.path(number, suffix).read_bytes()
    return MemoryBucket(objects)


def test_a_bucket_is_listed_and_printed_like_a_disk(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.add(0.5, content=[encode_record(LogStopped(NOW_NS, "drained"))])
    scene.cover()
    bucket = exported(scene)
    opened: list[str] = []

    def open_bucket(url: str) -> S3Files:
        opened.append(url)
        return S3Files(bucket, "records")

    monkeypatch.setattr("gateway.store.s3_files.open_files", open_bucket)
    away = ("--data-dir", str(scene.data_dir / "nowhere"), "--store", "s3://bucket/records")
    found = json.loads(CliRunner().invoke(group, ["ls", "-o", "json", *away]).stdout)
    assert [row["segment"] for row in found] == scene.stems
    assert {(row["log"], row["in_checkpoint"], row["exported"]) for row in found} == {("gw-0", True, None)}
    (summary,) = json.loads(CliRunner().invoke(group, ["ls", "--trees", "-o", "json", *away]).stdout)
    assert (summary["origin"], summary["problem"]) == (ORIGIN, "")
    assert '"drained"' in CliRunner().invoke(group, ["cat", scene.stems[5], *away]).stdout
    assert set(opened) == {"s3://bucket/records"}


def test_a_plan_for_a_log_that_was_never_signed_keeps_everything(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    ran = store(scene, "expire", "--dry-run", *LATE)
    assert ran.stdout.count("no signed checkpoint covers it yet") == 5


def test_more_than_one_run_takes_is_taken_by_several(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.retention.expiry_run.MAX_DELETED", 1)
    assert store(scene, "expire", *LATE).stdout.splitlines() == [
        f"deleted {stem}" for stem in scene.stems[:4]
    ]

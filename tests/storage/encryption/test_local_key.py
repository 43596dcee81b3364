import base64
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import storage.encryption.local_key
from storage.encryption.keys import Envelope, KeyMaker, KeyRing, Wrap
from storage.encryption.local_key import (
    ALG_LOCAL,
    MAX_FILE_BYTES,
    Kek,
    LocalKey,
    default_path,
    encode_local_keys,
    ensure_local_key,
    key_lock,
    new_kek,
    parse_local_keys,
    read_local_keys,
    retire_local_key,
    rotate_local_key,
)
from storage.errors import BadKeyFile, WrongKey
from tests.kit.running import ROOT
from tests.kit.sealing import ORIGIN

LINE = b"kubetape-kek-1 local:a " + base64.b64encode(bytes(range(32))) + b"\n"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def key_file(directory: Path, content: bytes, permissions: int = 0o600) -> Path:
    path = directory / "local.key"
    path.write_bytes(content)
    path.chmod(permissions)
    return path


# --- making it ------------------------------------------------------------------------------------


def test_the_first_start_makes_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = default_path(tmp_path)
    ensure_local_key(path)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert [entry.name for entry in path.parent.iterdir()] == ["local.key"]
    (kek,) = read_local_keys(path)
    assert len(kek.key) == 32
    assert time.time() - 60 < kek.made_s < time.time() + 1
    label, kek_id, _ = path.read_text().split()
    assert (label, kek_id) == ("kubetape-kek-1", kek.kek_id)


def test_a_later_start_keeps_the_file(tmp_path: Path) -> None:
    path = default_path(tmp_path)
    first = ensure_local_key(path).keks()
    assert ensure_local_key(path).keks() == first


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from storage.encryption.local_key import *; sys.stdin.read(1);"
        "print(ensure_local_key(default_path(Path(sys.argv[1]))).keks()[0].kek_id)"
    )
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        for _ in range(4)
    ]
    for process in racing:
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
    answers = {process.communicate(timeout=30)[0] for process in racing}
    assert len(answers) == 1
    assert answers != {b""}
    assert [entry.name for entry in (tmp_path / "keys").iterdir()] == ["local.key"]


def test_who_comes_second_takes_the_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = default_path(tmp_path)
    write_beside = storage.encryption.local_key._write_beside

    def slow(target: Path, keks: tuple[Kek, ...]) -> Path:
        unfinished = write_beside(target, keks)
        if not path.exists():
            path.write_bytes(LINE)
            path.chmod(0o600)
        return unfinished

    monkeypatch.setattr(storage.encryption.local_key, "_write_beside", slow)
    assert ensure_local_key(path).keks()[0].kek_id == "local:a"
    assert [entry.name for entry in path.parent.iterdir()] == ["local.key"]


def test_a_link_to_a_key_file_elsewhere_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = key_file(tmp_path / "elsewhere", LINE)
    path = tmp_path / "local.key"
    path.symlink_to(real)
    assert ensure_local_key(path).keks()[0].kek_id == "local:a"
    rotate_local_key(path)
    assert path.is_symlink()
    assert [kek.kek_id for kek in read_local_keys(real)][1] == "local:a"


def test_a_link_to_nowhere_is_named_and_not_filled(tmp_path: Path) -> None:
    path = tmp_path / "local.key"
    path.symlink_to(tmp_path / "missing")
    with pytest.raises(BadKeyFile, match="is a link to nowhere"):
        ensure_local_key(path)
    assert not (tmp_path / "missing").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadKeyFile, match=r"cannot (make|read) .*local\.key"):
        ensure_local_key(tmp_path / "file" / "keys" / "local.key")


# --- reading it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o620, 0o602, 0o644, 0o660])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, permissions: int) -> None:
    path = key_file(tmp_path, LINE, permissions)
    with pytest.raises(BadKeyFile, match=r"by others: chmod 600 .*local\.key"):
        read_local_keys(path)


def test_a_missing_file_is_told_apart_from_an_unreadable_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_local_keys(tmp_path / "none")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BadKeyFile, match="cannot read"):
        read_local_keys(tmp_path / "loop")
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(BadKeyFile, match="is not a file"):
        read_local_keys(tmp_path / "fifo")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no key"),
        (b"# nothing\n\n", "holds no key"),
        (LINE + b"kubetape-kek-2 local:b AAAA\n", "k:2: not a key"),
        (LINE + b"\n\nlocal:b AAAA\n", "k:4: not a key"),
        (b"kubetape-kek-1 arn:b AAAA\n", "k:1: not a key"),
        (b"kubetape-kek-1 local:b/../c AAAA\n", "k:1: not a key"),
        (b"kubetape-kek-1 local:b AA!A\n", "k:1: the key is not base64"),
        (b"kubetape-kek-1 local:b AAAA\n", "k:1: a key has 32 bytes, this one has 3"),
        (LINE + LINE, "k:2: local:a is there twice"),
        (b"\xff\xfe\x00" * 10, "k:1: not a key"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than"),
    ],
)
def test_a_garbled_file_is_refused_with_its_line(content: bytes, why: str) -> None:
    with pytest.raises(BadKeyFile, match=why):
        parse_local_keys(content, "k")


def test_no_message_shows_what_is_on_a_line() -> None:
    secret = base64.b64encode(b"the secret of 31 bytes, not 32!").decode()
    for line in (
        f"kubetape-kek-1 local:b {secret}\n",
        f"{secret} x y\n",
        f"kubetape-kek-1 local:b !{secret}\n",
    ):
        with pytest.raises(BadKeyFile) as caught:
            parse_local_keys(line.encode(), "k")
        assert secret not in str(caught.value)


def test_comments_and_blank_lines_are_skipped_and_order_is_kept() -> None:
    keks = (new_kek(0.0), new_kek(1e9))
    content = b"# current\n" + encode_local_keys(keks[:1]) + b"\n# older\n" + encode_local_keys(keks[1:])
    assert parse_local_keys(content, "k") == keks


def test_the_text_form_of_a_key_hides_it() -> None:
    kek = Kek("local:a", bytes(range(65, 97)))
    assert repr(kek) == "Kek(kek_id='local:a')"


@pytest.mark.parametrize(
    ("kek_id", "made_s"),
    [
        ("local:20260131T100000Z-ab12", 1_769_853_600.0),
        ("local:mine", 0.0),
        ("local:20261331T100000Z-a", 0.0),
    ],
)
def test_an_id_may_say_when_its_key_was_made(kek_id: str, made_s: float) -> None:
    assert Kek(kek_id, bytes(32)).made_s == made_s


# --- wrapping -------------------------------------------------------------------------------------


def test_data_keys_are_wrapped_with_the_current_key_and_opened_with_any(tmp_path: Path) -> None:
    local = ensure_local_key(default_path(tmp_path))
    old = KeyMaker(ORIGIN, [local]).make()
    rotate_local_key(local.path)
    new = KeyMaker(ORIGIN, [local]).make()
    assert old.envelope.wraps[0].alg == ALG_LOCAL == "aes-kw"
    assert [made.envelope.wraps[0].kek_id for made in (new, old)] == [kek.kek_id for kek in local.keks()]
    for made in (old, new):
        assert len(made.envelope.wraps[0].blob) == 40
        assert KeyRing([LocalKey(local.path)]).data_key(made.envelope) == made.key


def test_rfc_3394_section_4_6() -> None:
    """Wrap 256 bits of key data with a 256-bit KEK: the published bytes."""
    kek = bytes(range(32))
    data = bytes.fromhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
    wrapped = "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"
    assert storage.encryption.local_key.aes_key_wrap(kek, data).hex().upper() == wrapped


def test_a_reader_that_was_open_before_a_rotation_opens_what_came_after(tmp_path: Path) -> None:
    path = default_path(tmp_path)
    writer, reader = ensure_local_key(path), LocalKey(path)
    before = KeyMaker(ORIGIN, [writer]).make()
    assert reader.unwrap(before.envelope) == reader.unwrap(before.envelope) == before.key
    rotate_local_key(path)
    after = KeyMaker(ORIGIN, [writer]).make()
    assert reader.unwrap(after.envelope) == after.key


def test_what_is_wrapped_for_others_is_not_opened(tmp_path: Path) -> None:
    local = ensure_local_key(default_path(tmp_path))
    wraps = (Wrap("local:other", ALG_LOCAL, b""), Wrap(local.keks()[0].kek_id, "aws-kms", b""))
    assert local.unwrap(Envelope("s", ORIGIN, wraps)) is None
    assert LocalKey(tmp_path / "none").unwrap(Envelope("s", ORIGIN, wraps)) is None


@pytest.mark.parametrize("blob", [b"", b"short", bytes(40), bytes(41), bytes(48)])
def test_a_wrap_that_does_not_open_says_what_is_wrong(tmp_path: Path, blob: bytes) -> None:
    local = ensure_local_key(default_path(tmp_path))
    kek = local.keks()[0]
    with pytest.raises(
        WrongKey, match=r"segment s: local:.* is not the key its envelope was made with"
    ) as caught:
        local.unwrap(Envelope("s", ORIGIN, (Wrap(kek.kek_id, ALG_LOCAL, blob),)))
    assert kek.key.hex() not in str(caught.value)


def test_a_key_file_that_is_gone_stops_new_segments_with_a_reason(tmp_path: Path) -> None:
    local = ensure_local_key(default_path(tmp_path))
    local.path.unlink()
    with pytest.raises(BadKeyFile, match="is gone: restore it"):
        local.wrap(bytes(32), "s")


# --- rotating, retiring ---------------------------------------------------------------------------


def test_a_retired_key_is_gone_and_the_current_one_cannot_be(tmp_path: Path) -> None:
    path = default_path(tmp_path)
    old = ensure_local_key(path).keks()[0]
    new = rotate_local_key(path)
    assert [kek.kek_id for kek in read_local_keys(path)] == [new.kek_id, old.kek_id]
    with pytest.raises(BadKeyFile, match="is the current key: rotate first"):
        retire_local_key(path, new.kek_id)
    with pytest.raises(BadKeyFile, match="has no key local:none"):
        retire_local_key(path, "local:none")
    retire_local_key(path, old.kek_id)
    assert read_local_keys(path) == (new,)
    assert mode(path) == 0o600


def test_a_rotation_removes_what_a_crash_left_beside_the_file(tmp_path: Path) -> None:
    path = default_path(tmp_path)
    ensure_local_key(path)
    (path.parent / "local.key.1234abcd.tmp").write_bytes(LINE)
    rotate_local_key(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["local.key"]


def test_a_rotation_that_cannot_be_written_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = default_path(tmp_path)
    before = ensure_local_key(path).keks()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadKeyFile, match=r"cannot write .*: No space left"):
        rotate_local_key(path)
    with pytest.raises(BadKeyFile, match=r"cannot make .*: No space left"):
        ensure_local_key(tmp_path / "other" / "local.key")
    monkeypatch.undo()
    assert read_local_keys(path) == before


def test_only_one_process_works_on_keys(tmp_path: Path) -> None:
    with key_lock(tmp_path):
        with pytest.raises(BadKeyFile, match="another process works on the keys"), key_lock(tmp_path):
            pass
    with key_lock(tmp_path):
        pass
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadKeyFile, match="cannot write to"), key_lock(tmp_path / "file"):
        pass


def test_root_leaves_files_that_the_gateway_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda fd, user, group: given.append((user, group)))
    ensure_local_key(default_path(tmp_path))
    owner = tmp_path.stat()
    assert given == [(owner.st_uid, owner.st_gid)] * 2


def test_who_is_not_root_owns_what_it_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "fchown", lambda *_: pytest.fail("only root gives files away"))
    ensure_local_key(default_path(tmp_path))

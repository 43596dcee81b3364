"""The static token file: what it holds, who may read it, what happens when it changes."""

import hashlib
import logging
import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.tokens import (
    MAX_FILE_BYTES,
    BadTokenFile,
    StaticTokens,
    append_token,
    mint_token,
    parse_token_file,
)
from gateway.principal import Principal


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.csv"


def write(path: Path, text: str | bytes, mode: int = 0o600) -> None:
    """Replace the file as an editor does: under another name first."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(text.encode() if isinstance(text, str) else text)
    fresh.chmod(mode)
    fresh.replace(path)


def test_a_minted_token_is_43_safe_characters() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", mint_token())
    assert mint_token() != mint_token()


def test_the_format_is_that_of_kube_apiserver() -> None:
    tokens = parse_token_file('abc,alice,u1,"sre,dev"\n\n# comment\nd-e_f.g~h+/==,bob,\n', "t.csv")
    alice, bob = tokens[digest("abc")], tokens[digest("d-e_f.g~h+/==")]
    assert (alice.user, alice.groups, alice.uid, alice.method, alice.issuer) == (
        "alice",
        ("sre", "dev"),
        "u1",
        "token",
        "t.csv",
    )
    assert (bob.user, bob.groups, bob.uid, bob.expires_ns) == ("bob", (), "", None)
    assert re.fullmatch("[0-9a-f]{32}", alice.credential_id)
    assert alice.credential_id != bob.credential_id


def test_a_hash_may_stand_in_the_place_of_the_token() -> None:
    plain = parse_token_file("abc,alice,", "t.csv")
    hashed = parse_token_file(f"sha256:{digest('abc').hex()},alice,", "t.csv")
    assert plain == hashed


def test_a_reserved_name_in_the_operators_own_file_counts() -> None:
    assert parse_token_file('a,system:admin,,"system:masters"', "t")[digest("a")].groups == (
        "system:masters",
    )


@pytest.mark.parametrize(
    "line",
    [
        "abc",
        "abc,alice",
        "abc,alice,,g,extra",
        ",alice,",
        "a b,alice,",
        "ä,alice,",
        "a=b,alice,",
        "sha256:12,alice,",
        "sha256:" + "G" * 64 + ",alice,",
        "abc,,",
        "abc, alice,",
        "abc,ali\tce,",
        'abc,alice,,"a,,b"',
        'abc,alice,,"a, b"',
        'abc,alice,,"a',
        'abc,alice,,"a"b',
        "abc,alice,\nabc,bob,",
        f"abc,alice,\nsha256:{digest('abc').hex()},bob,",
    ],
)
def test_a_broken_line_is_named_and_no_token_is_quoted(line: str) -> None:
    with pytest.raises(BadTokenFile) as caught:
        parse_token_file("good,x,\n" + line, "t.csv")
    assert caught.value.line >= 2
    assert "t.csv, line" in str(caught.value)
    assert "abc" not in str(caught.value)


def test_the_number_of_tokens_is_bounded() -> None:
    lines = [f"t{n},u," for n in range(10_001)]
    assert len(parse_token_file("\n".join(lines[:-1]), "t")) == 10_000
    with pytest.raises(BadTokenFile, match="more than"):
        parse_token_file("\n".join(lines), "t")


@given(st.text(max_size=80))
def test_no_text_brings_another_exception(text: str) -> None:
    try:
        parse_token_file(text, "t")
    except BadTokenFile:
        pass


def test_an_appended_token_works_and_is_not_in_the_file(path: Path) -> None:
    first = append_token(path, "alice", ("sre", "dev"))
    second = append_token(path, "bob")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first not in path.read_text()
    assert second not in path.read_text()
    tokens = StaticTokens(path)
    alice, bob = tokens.find(digest(first)), tokens.find(digest(second))
    assert alice is not None
    assert bob is not None
    assert (alice.user, alice.groups, bob.user, bob.groups) == ("alice", ("sre", "dev"), "bob", ())
    assert tokens.find(digest("other")) is None


def test_appending_repairs_a_file_without_final_newline(path: Path) -> None:
    write(path, "abc,alice,")
    token = append_token(path, 'b"ob', ('g"1', "g 2"), uid="7")
    tokens = StaticTokens(path)
    assert tokens.find(digest("abc")) is not None
    bob = tokens.find(digest(token))
    assert isinstance(bob, Principal)
    assert (bob.user, bob.groups, bob.uid) == ('b"ob', ('g"1', "g 2"), "7")


@pytest.mark.parametrize(
    ("user", "groups"), [("", ()), ("a\nb", ()), (" a", ()), ("a", ("",)), ("a", ("x,y",)), ("a", ("g", "g"))]
)
def test_what_could_not_be_read_back_is_not_written(path: Path, user: str, groups: tuple[str, ...]) -> None:
    with pytest.raises(BadTokenFile):
        append_token(path, user, groups)
    assert not path.exists()


def test_a_changed_file_is_read_again(path: Path) -> None:
    write(path, "abc,alice,\n")
    tokens = StaticTokens(path)
    write(path, "def,bob,\n")
    assert tokens.find(digest("abc")) is not None
    tokens.refresh()
    assert tokens.find(digest("abc")) is None
    assert tokens.find(digest("def")) is not None


def test_a_broken_file_keeps_what_was_read_before_and_complains_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, "abc,alice,\n")
    tokens = StaticTokens(path)
    for broken in ("nonsense\n", b"\xff,x,\n", "x" * (MAX_FILE_BYTES + 1)):
        caplog.clear()
        write(path, broken)
        tokens.refresh()
        tokens.refresh()
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert tokens.find(digest("abc")) is not None
    write(path, "def,bob,\n")
    tokens.refresh()
    assert tokens.find(digest("abc")) is None


def test_a_broken_file_at_the_start_is_an_error(path: Path) -> None:
    write(path, "nonsense\n")
    with pytest.raises(BadTokenFile):
        StaticTokens(path)


def test_a_missing_file_is_no_tokens_until_it_comes(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = StaticTokens(path)
    assert "does not exist" in caplog.text
    write(path, "abc,alice,\n")
    tokens.refresh()
    assert tokens.find(digest("abc")) is not None
    path.unlink()
    tokens.refresh()
    tokens.refresh()
    assert tokens.find(digest("abc")) is None
    assert caplog.text.count("is gone") == 1


def test_a_file_others_can_read_is_warned_about(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(path, "abc,alice,\n", mode=0o644)
    StaticTokens(path)
    assert "chmod 600" in caplog.text
    caplog.clear()
    os.chmod(path, 0o600)
    StaticTokens(path)
    assert not caplog.text


def test_a_directory_in_its_place_is_logged_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, "abc,alice,\n")
    tokens = StaticTokens(path)
    path.unlink()
    path.mkdir(mode=0o700)
    tokens.refresh()
    assert "not used" in caplog.text
    assert tokens.find(digest("abc")) is not None

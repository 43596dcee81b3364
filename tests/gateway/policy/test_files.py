"""kubectl cp: recognised by its argv, judged by names and sizes."""

import pytest

from gateway.policy.files import MAX_LINKS, Copy, FileJudge, parse_copy
from gateway.policy.model import FileRule
from protocol.tar_stream import MemberKind, MemberStarted, NotTar

KEYS = FileRule("p/keys", "both", ("*.pem", "/etc/*"), reason="Ask the platform team.")
SMALL = FileRule("p/small", "up", max_bytes=100)
UP = Copy("up", "/data")


def file(name: str, size: int = 1) -> MemberStarted:
    return MemberStarted(name, size, MemberKind.FILE)


def link(name: str, to: str, kind: MemberKind = MemberKind.SYMLINK) -> MemberStarted:
    return MemberStarted(name, 0, kind, to)


def why(rule: FileRule, copy: Copy, *members: MemberStarted) -> str:
    """The reason of the first refusal, "" for none."""
    judge = FileJudge((rule,), copy)
    refusals = [judge.judge_member(member) for member in members]
    return next((refusal.reason for refusal in refusals if refusal is not None), "")


@pytest.mark.parametrize(
    ("argv", "copy"),
    [
        ("tar xmf - -C /data", Copy("up", "/data")),
        ("tar -xmf - -C /data", Copy("up", "/data")),
        ("tar -xmf -", Copy("up")),
        ("tar --no-same-permissions --no-same-owner -xmf - -C /data", Copy("up", "/data")),
        ("tar xvf - -C/", Copy("up", "/")),
        ("/bin/tar --extract --file=- --directory=/data", Copy("up", "/data")),
        ("busybox tar -x -f - --directory /data", Copy("up", "/data")),
        ("tar xf - -C", Copy("up")),
        ("tar cf - /etc/passwd", Copy("down", sources=("/etc/passwd",))),
        ("tar -cf - -C / etc", Copy("down", "/", ("etc",))),
        ("tar tf -", None),
        ("tar", None),
        ("busybox", None),
        ("ls -l", None),
        ("", None),
    ],
)
def test_a_copy_is_recognised_by_its_argv(argv: str, copy: Copy | None) -> None:
    assert parse_copy(argv.split()) == copy


def test_a_resumed_download_is_recognised() -> None:
    assert parse_copy(["sh", "-c", "tar cf - /a b | tail -c+512"]) == Copy("down", "", ("/a b",), True)
    assert parse_copy(["sh", "-c", "tar cf - /a"]) is None


def test_names_are_held_against_full_paths() -> None:
    assert why(KEYS, UP, file("a.txt"), file("a/key.pem")) == (
        "/data/a/key.pem: may not be copied. Ask the platform team."
    )
    assert why(KEYS, Copy("up", "/"), file("./etc//passwd")).startswith("/etc/passwd: may not")
    assert why(KEYS, Copy("down", sources=("/etc/passwd",)), file("etc/passwd"))
    assert why(KEYS, Copy("down", "/", ("etc",)), file("etc/passwd"))
    assert why(KEYS, Copy("up"), file("etc/passwd"))
    assert not why(KEYS, Copy("up"), file("data/x"))


def test_sizes_are_limited_by_file_and_direction() -> None:
    assert why(SMALL, UP, file("a", 100)) == ""
    assert why(SMALL, UP, file("a", 101)) == "/data/a: larger than 100 bytes"
    assert why(SMALL, Copy("down"), file("a", 101)) == ""
    assert why(SMALL, UP, file("../a"), link("l", "/etc")) == ""


def test_names_that_climb_are_refused() -> None:
    assert "leads out" in why(KEYS, UP, file("../x"))
    assert "leads out" in why(KEYS, UP, file("a/../../x"))


def test_links_that_lead_out_are_refused() -> None:
    assert "a link that leads out" in why(KEYS, UP, link("l", "/etc"))
    assert "a link that leads out" in why(KEYS, UP, link("l", "../etc", MemberKind.HARD_LINK))
    assert why(KEYS, UP, link("l", "a/b")) == ""
    assert why(KEYS, Copy("down", sources=("/a",)), link("a/l", "/usr")) == ""


def test_nothing_is_written_through_a_link_of_the_archive() -> None:
    assert "through a link" in why(KEYS, UP, link("l", "sub"), file("l/x"))
    assert "through a link" in why(KEYS, UP, link("l", "sub"), file("l"))


def test_links_are_bounded() -> None:
    links = [link(f"l{number}", "a") for number in range(MAX_LINKS + 1)]
    assert "too many links" in why(KEYS, UP, *links)


def test_what_cannot_be_judged_is_refused_where_there_are_rules() -> None:
    for copy in (Copy("down", sources=("/a",), is_resumed=True), Copy("down", sources=("../etc",))):
        assert FileJudge((KEYS,), copy).judge_start() is not None
        assert FileJudge((), copy).judge_start() is None
    assert FileJudge((KEYS,), UP).judge_start() is None
    refusal = FileJudge((KEYS,), UP).judge_end(NotTar("the archive is cut"))
    assert refusal is not None
    assert refusal.reason == "not an archive: the archive is cut. Ask the platform team."
    assert FileJudge((), UP).judge_end(NotTar("x")) is None

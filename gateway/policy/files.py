"""What `kubectl cp` carries, judged by names and sizes as the archive passes.

`kubectl cp` is an exec of tar: bytes for `tar -x` on stdin, or of `tar -c` on stdout. `parse_copy` recognises that by the
argv, `FileJudge` holds each member against the rules. Not covered, because it is no tar: a Python client that sends
files its own way, `cat > file`, base64 in a terminal; rules about argv are the means there.

The trap: a name in the archive is not yet a path. Names that climb (`..`), links and what would be written through them
are refused where a rule is about names, since where they end only the pod's file system knows.
Source: k8s.io/kubectl/pkg/cmd/cp/cp.go, versions 1.20 to 1.36.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.policy.model import FileRule
from gateway.policy.word_glob import matches_glob
from protocol.tar_stream import MemberKind, MemberStarted, NotTar

MAX_LINKS: Final = 10_000
"""Most links of one archive remembered; with more, everything is refused."""

_DOWNLOAD_RESUMED: Final = re.compile(r"tar cf - (.*) \| tail -c\+[0-9]+")
"""What kubectl sends to go on after a broken download, through `sh -c`."""


class Copy(msgspec.Struct, frozen=True):
    """A copy by tar. direction: "up" or "down". directory: where names are unpacked, "" for the working directory.

    sources: what is packed. is_resumed: the archive begins in its middle, so its names cannot be judged.
    """

    direction: str
    directory: str = ""
    sources: tuple[str, ...] = ()
    is_resumed: bool = False


class FileRefusal(msgspec.Struct, frozen=True):
    """reason: one line for the person. rule: the id of the rule, "policy/rule"."""

    rule: str
    path: str
    reason: str


def parse_copy(argv: Sequence[str]) -> Copy | None:
    """The copy that an exec is; None: it is none."""
    words = list(argv)
    if len(words) == 3 and words[0].rpartition("/")[2] in ("sh", "bash") and words[1] == "-c":
        resumed = _DOWNLOAD_RESUMED.fullmatch(words[2])
        return Copy("down", sources=(resumed[1],), is_resumed=True) if resumed else None
    if words and words[0].rpartition("/")[2] == "busybox":
        words = words[1:]
    if len(words) < 2 or words[0].rpartition("/")[2] not in ("tar", "bsdtar", "gtar"):
        return None
    letters, directory, rest = _tar_options(words[1:])
    if "x" in letters:
        return Copy("up", directory)
    return Copy("down", directory, tuple(rest)) if "c" in letters else None


def _tar_options(words: list[str]) -> tuple[str, str, list[str]]:
    """(option letters, directory of -C, other words) of a tar command line, as far as copies need it."""
    letters, directory = "", ""
    rest: list[str] = []
    if not words[0].startswith("-"):
        words = ["-" + words[0], *words[1:]]
    waiting = iter(words)
    for word in waiting:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            letters += {"--extract": "x", "--get": "x", "--create": "c"}.get(name, "")
            if name == "--directory":
                directory = value or next(waiting, "")
        elif word.startswith("-") and word != "-":
            option, _, value = word[1:].partition("C")
            letters += option
            if "C" in word:
                directory = value or next(waiting, "")
        elif word != "-":
            rest.append(word)
    return letters, directory, rest


class FileJudge:
    """The rules of one verdict for one copy. Give it every member, in order."""

    def __init__(self, rules: Sequence[FileRule], copy: Copy) -> None:
        self._rules = [rule for rule in rules if rule.direction in ("both", copy.direction)]
        self._named = next((rule for rule in self._rules if rule.names), None)
        self._copy = copy
        self._links: set[str] = set()

    def judge_start(self) -> FileRefusal | None:
        """Before the first byte: whether the copy can be judged at all."""
        if self._copy.is_resumed and self._rules:
            return self._refusal(
                self._rules[0], "", "a download that goes on in its middle cannot be judged: start anew"
            )
        climbing = next((source for source in self._copy.sources if _climbs(source)), None)
        if self._named is not None and climbing is not None:
            return self._refusal(self._named, climbing, "a path with .. cannot be judged: name it in full")
        return None

    def judge_member(self, member: MemberStarted) -> FileRefusal | None:
        """Whether a member may pass."""
        path = _joined(self._directory(), member.name)
        for rule in self._rules:
            if rule.max_bytes is not None and member.size_bytes > rule.max_bytes:
                return self._refusal(rule, path, f"larger than {rule.max_bytes} bytes")
            if any(_is_named(path, pattern) for pattern in rule.names):
                return self._refusal(rule, path, "may not be copied")
        if self._named is None:
            return None
        if _climbs(member.name):
            return self._refusal(self._named, path, "its name leads out of the directory")
        return self._judge_links(self._named, member, path)

    def judge_end(self, event: NotTar) -> FileRefusal | None:
        """What is no archive cannot be judged, so it may not pass where there are rules."""
        return self._refusal(self._rules[0], "", f"not an archive: {event.reason}") if self._rules else None

    def _judge_links(self, rule: FileRule, member: MemberStarted, path: str) -> FileRefusal | None:
        parts = path.split("/")
        if any("/".join(parts[:end]) in self._links for end in range(1, len(parts) + 1)):
            return self._refusal(rule, path, "it would be written through a link of the archive")
        if member.kind not in (MemberKind.SYMLINK, MemberKind.HARD_LINK):
            return None
        if len(self._links) >= MAX_LINKS:
            return self._refusal(rule, path, "the archive has too many links")
        self._links.add(path)
        if self._copy.direction == "up" and (member.link.startswith("/") or _climbs(member.link)):
            return self._refusal(rule, path, "it is a link that leads out of the directory")
        return None

    def _directory(self) -> str:
        """Where the names of the archive start: tar takes the leading slash off what it packs."""
        if self._copy.direction == "up" or self._copy.directory:
            return self._copy.directory
        return "/" if any(source.startswith("/") for source in self._copy.sources) else ""

    def _refusal(self, rule: FileRule, path: str, why: str) -> FileRefusal:
        what = f"{path}: {why}" if path else why
        return FileRefusal(rule.rule, path, f"{what}. {rule.reason}" if rule.reason else what)


def _joined(directory: str, name: str) -> str:
    """The path of a member, without `.` and doubled slashes; tar ignores a leading slash of a name."""
    parts = [part for part in f"{directory}/{name}".split("/") if part not in ("", ".")]
    return ("/" if directory.startswith("/") else "") + "/".join(parts)


def _climbs(path: str) -> bool:
    return ".." in path.split("/")


def _is_named(path: str, pattern: str) -> bool:
    """A path from the working directory, which is not known, may be any that ends like it."""
    if path.startswith("/"):
        return matches_glob(path, pattern)
    return matches_glob(path, pattern) or matches_glob("/" + path, pattern)

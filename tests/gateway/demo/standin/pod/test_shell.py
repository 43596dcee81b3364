import hashlib

import pytest
import trio

from gateway.demo.standin.pod.filetree import FileTree, seed_tree
from gateway.demo.standin.pod.process import Process, UnknownCommand
from gateway.demo.standin.pod.shell import run_argv
from gateway.demo.standin.pod.streams import Pipe


async def run(*argv: str, stdin: bytes = b"", tree: FileTree | None = None) -> tuple[int, bytes, bytes]:
    """Run a command; (exit code, stdout, stderr)."""
    out, err, pipe = bytearray(), bytearray(), Pipe()

    async def write_out(data: bytes) -> None:
        out.extend(data)

    async def write_err(data: bytes) -> None:
        err.extend(data)

    await pipe.write(stdin)
    pipe.end()
    environ = {"HOSTNAME": "web", "PWD": "/", "GREETING": "hello  you"}
    process = Process(
        list(argv), pipe.source, write_out, write_err, tree or seed_tree("payments", "api"), environ, None
    )
    with trio.fail_after(20):
        code = await run_argv(process)
    return code, bytes(out), bytes(err)


async def sh(script: str, stdin: bytes = b"", tree: FileTree | None = None) -> tuple[int, bytes, bytes]:
    return await run("sh", "-c", script, stdin=stdin, tree=tree)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo a b", b"a b\n"),
        ("echo 'a  b' \"c  d\"", b"a  b c  d\n"),
        ("echo $GREETING", b"hello you\n"),
        ('echo "$GREETING"', b"hello  you\n"),
        ("echo '$GREETING' \\$HOME ${HOSTNAME}x", b"$GREETING $HOME webx\n"),
        ("X=1 Y=2; echo $X$Y", b"12\n"),
        ("false; echo $?", b"1\n"),
        ("false && echo a || echo b", b"b\n"),
        ("true && echo a || echo b", b"a\n"),
        ("! false && echo not", b"not\n"),
        ("for i in 1 2 3; do echo $i; done", b"1\n2\n3\n"),
        ("for i in a b\ndo\necho $i\ndone | wc -l", b"2\n"),
        ("echo a # comment", b"a\n"),
        ("echo a#b", b"a#b\n"),
        ("seq 1 1000 | head -n 2 | tail -n 1", b"2\n"),
        ("cat /dev/zero | head -c 5 | wc -c", b"5\n"),
        ("echo one > /tmp/f; echo two >> /tmp/f; cat < /tmp/f", b"one\ntwo\n"),
        ("echo x 2>&1 >/dev/null", b""),
        ("cat /nope 2>&1 | grep -v zzz", b"cat: /nope: No such file or directory\n"),
        ("cd /data && pwd && ls", b"/data\ncustomers.csv\n"),
        ("[ -d /data ] && test ! -e /nope && [ 3 -gt 2 ] && echo yes", b"yes\n"),
        ("mkdir -p /tmp/a/b; ls /tmp/a; rm -r /tmp/a; ls /tmp", b"b\n"),
        ("grep -i grace /data/customers.csv | wc -l", b"1\n"),
        ("while read line; do echo got $line; done", b"got in 1\ngot in 2\n"),
        ("printenv | grep HOST", b"HOSTNAME=web\n"),
        ("tail -c +3 /etc/hostname", b"i\n"),
        ("tty", b"not a tty\n"),
    ],
)
async def test_scripts_print_what_a_shell_prints(script: str, expected: bytes) -> None:
    _, out, _ = await sh(script, stdin=b"in 1\nin 2\n")
    assert out == expected


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 42", 42),
        ("exit 300", 44),
        ("false", 1),
        ("nosuch", 127),
        ("true | false", 1),
        ("false | true", 0),
        ("cat /nope", 1),
        ("(", 2),
    ],
)
async def test_exit_codes_are_those_of_a_shell(script: str, code: int) -> None:
    assert (await sh(script))[0] == code


@pytest.mark.parametrize(
    "script",
    [
        "echo $(ls)",
        "echo `ls`",
        "sleep 1 &",
        "echo 'open",
        "for x",
        "echo >",
        "| cat",
        "if true; then ls; fi | (",
        "done",
    ],
)
async def test_what_is_not_understood_is_said(script: str) -> None:
    code, _, err = await sh(script)
    assert code in (2, 127)
    assert err.startswith(b"sh: ")


async def test_a_command_no_pod_has_is_unknown() -> None:
    with pytest.raises(UnknownCommand):
        await run("gcc")


async def test_without_a_terminal_sh_reads_lines_and_does_not_prompt() -> None:
    assert await run("sh", stdin=b"echo one\necho 'open\nexit 6\n") == (
        6,
        b"one\n",
        b"sh: unterminated quoted string\n",
    )


async def test_a_tree_survives_tar_out_and_in() -> None:
    tree = seed_tree("payments", "api")
    _, archive, said = await run("tar", "cf", "-", "/data", tree=tree)
    assert said == b"tar: removing leading '/' from member names\n"
    tree.make_directory("/copy")
    for cut in (1, 100, len(archive)):
        assert (await run("tar", "-xmf", "-", "-C", "/copy", stdin=archive[:cut], tree=tree))[0] == (
            0 if cut == len(archive) else 2
        )
    assert b"".join(tree.read("/copy/data/customers.csv")) == b"".join(tree.read("/data/customers.csv"))


async def test_a_digest_stands_in_for_content_that_was_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.demo.standin.pod.filetree.MAX_KEPT_BYTES", 1000)
    tree, data = FileTree(), bytes(range(256)) * 5
    assert (await sh("cat > /large", stdin=data, tree=tree))[0] == 0
    assert (await sh("sha256sum /large", tree=tree))[1].split()[0].decode() == hashlib.sha256(
        data
    ).hexdigest()
    code, _, err = await sh("cat /large", tree=tree)
    assert code == 1
    assert b"content not kept" in err

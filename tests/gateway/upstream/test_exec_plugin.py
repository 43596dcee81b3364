import base64
import json
import os
import sys
import time
from pathlib import Path

import pytest
import trio

from gateway.upstream.exec_plugin import (
    MAX_OUTPUT_BYTES,
    MAX_TOKEN_BYTES,
    PluginCredential,
    PluginFailed,
    encode_exec_info,
    parse_exec_credential,
    run_plugin,
)
from gateway.upstream.kubeconfig import ExecPlugin
from gateway.upstream.secret import Secret

V1 = "client.authentication.k8s.io/v1"


def script(tmp_path: Path, body: str, **fields: object) -> ExecPlugin:
    """A plugin that is a Python program."""
    path = tmp_path / "plugin.py"
    path.write_text("import json, os, subprocess, sys, time\n" + body)
    return ExecPlugin(api_version=V1, command=sys.executable, args=(str(path),), **fields)  # type: ignore[arg-type]


def printing(status: dict[str, object] | None, **fields: object) -> bytes:
    return json.dumps({"kind": "ExecCredential", "apiVersion": V1, "status": status, **fields}).encode()


PLUGIN = ExecPlugin(api_version=V1, command="login")


async def test_a_plugin_is_told_what_it_needs_and_its_token_is_read(tmp_path: Path) -> None:
    plugin = script(
        tmp_path,
        """
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["spec"]["interactive"] is False and sys.stdin.read() == "" and os.environ["PATH"]
token = info["apiVersion"].rpartition("/")[2] + info["spec"]["cluster"]["server"] + os.environ["EXTRA"]
print(json.dumps({"kind": "ExecCredential", "apiVersion": info["apiVersion"], "status": {"token": token}}))
""",
        env=(("EXTRA", "-x"),),
        cluster={"server": "https://api"},
    )
    assert await run_plugin(plugin, b"CA") == PluginCredential(token=Secret(b"v1https://api-x"))


async def test_a_failing_plugin_is_quoted_visibly(tmp_path: Path) -> None:
    plugin = script(tmp_path, "sys.stderr.write('x' * 100000 + '\\x1b[31mnot\\nlogged in'); sys.exit(3)")
    with pytest.raises(PluginFailed) as caught:
        await run_plugin(plugin, None)
    message = str(caught.value)
    assert "ended with code 3" in message
    assert message.isprintable()
    assert len(message) < 700


async def test_a_silent_failure_says_so(tmp_path: Path) -> None:
    with pytest.raises(PluginFailed, match="it printed no error"):
        await run_plugin(script(tmp_path, "sys.exit(1)"), None)


async def test_a_missing_plugin_says_how_to_install_it(tmp_path: Path) -> None:
    plugin = ExecPlugin(V1, str(tmp_path / "nothing"), install_hint="\nTo install it:\n  brew install x\n")
    with pytest.raises(
        PluginFailed, match=r"No such file or directory \(To install it:\\n  brew install x\)"
    ):
        await run_plugin(plugin, None)


async def test_a_plugin_that_is_no_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginFailed, match=r"Permission denied$"):
        await run_plugin(ExecPlugin(V1, str(tmp_path)), None)


async def test_a_hanging_plugin_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    plugin = script(
        tmp_path,
        f"""
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(mark)!r}, "w").write(str(child.pid))
time.sleep(600)
""",
    )
    started = time.monotonic()
    with pytest.raises(PluginFailed, match="did not end within 2 s"):
        await run_plugin(plugin, None, timeout_s=2)
    assert time.monotonic() - started < 20
    await gone(int(mark.read_text()))


async def test_children_left_behind_are_killed_too(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    plugin = script(
        tmp_path,
        f"""
quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **quiet)
open({str(mark)!r}, "w").write(str(child.pid))
print(json.dumps({{"kind": "ExecCredential", "apiVersion": "{V1}", "status": {{"token": "t"}}}}))
""",
    )
    assert (await run_plugin(plugin, None)).token == Secret(b"t")
    await gone(int(mark.read_text()))


async def gone(pid: int) -> None:
    """Wait until a process is dead (a zombie that nobody reaps counts as dead)."""
    with trio.fail_after(20):
        while is_alive(pid):
            await trio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_an_endless_output_is_cut_off(tmp_path: Path) -> None:
    plugin = script(tmp_path, "while True: sys.stdout.write('x' * 65536)")
    with pytest.raises(PluginFailed, match=f"printed more than {MAX_OUTPUT_BYTES} bytes"):
        await run_plugin(plugin, None)


async def test_an_endless_stderr_is_drained(tmp_path: Path) -> None:
    plugin = script(
        tmp_path,
        f"""
sys.stderr.write("x" * 3000000)
print(json.dumps({{"kind": "ExecCredential", "apiVersion": "{V1}", "status": {{"token": "t"}}}}))
""",
    )
    assert (await run_plugin(plugin, None)).token == Secret(b"t")


async def test_cancelling_kills_the_plugin(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    plugin = script(tmp_path, f"open({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_plugin, plugin, None)
        with trio.fail_after(20):
            while not (mark.exists() and mark.read_text()):
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    await gone(int(mark.read_text()))


def test_cluster_information_holds_the_ca_as_data() -> None:
    info = json.loads(encode_exec_info(ExecPlugin(V1, "x", cluster={"server": "s"}), b"CA"))
    assert info == {
        "kind": "ExecCredential",
        "apiVersion": V1,
        "spec": {
            "interactive": False,
            "cluster": {"server": "s", "certificate-authority-data": base64.b64encode(b"CA").decode()},
        },
    }
    info = json.loads(encode_exec_info(ExecPlugin(V1, "x", cluster={"server": "s"}), None))
    assert info["spec"]["cluster"] == {"server": "s"}
    assert "cluster" not in json.loads(encode_exec_info(PLUGIN, b"CA"))["spec"]


@pytest.mark.parametrize(
    ("text", "unix_s"),
    [
        ("2026-01-05T10:00:00Z", 1767607200.0),
        ("2026-01-05T10:00:00.5Z", 1767607200.5),
        ("2026-01-05T12:00:00+02:00", 1767607200.0),
        ("2026-01-05T10:00:00", 1767607200.0),
        (None, None),
    ],
)
def test_the_expiry_is_read(text: str | None, unix_s: float | None) -> None:
    output = printing({"token": "t", "expirationTimestamp": text})
    assert parse_exec_credential(output, PLUGIN).expires_s == unix_s


def test_a_certificate_is_read() -> None:
    output = printing({"clientCertificateData": "CERT", "clientKeyData": "KEY"})
    assert parse_exec_credential(output, PLUGIN) == PluginCredential(certificate=b"CERT", key=Secret(b"KEY"))


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (b"", "not JSON"),
        (b"token", "not JSON"),
        (b'{"x":' + b"[" * 100_000, "not JSON"),
        (b"[]", "Expected `object`"),
        (b"{}", "did not print an ExecCredential of"),
        (printing({"token": "SECRET"}, kind="Token"), "did not print an ExecCredential of"),
        (printing({"token": "SECRET"}, apiVersion=V1 + "beta1"), "did not print an ExecCredential of"),
        (printing(None), "neither a token nor a certificate"),
        (printing({"token": ""}), "neither a token nor a certificate"),
        (printing({"token": 3}), "Expected `str | null`"),
        (printing({"clientCertificateData": "SECRET"}), "without a key"),
        (printing({"token": "t", "clientKeyData": "SECRET"}), "without a certificate"),
        (printing({"token": "SECRET\r\nx: y"}), "does not fit into a header"),
        (printing({"token": " SECRET"}), "does not fit into a header"),
        (printing({"token": "S" * (MAX_TOKEN_BYTES + 1)}), "does not fit into a header"),
        (printing({"token": "SECRET", "expirationTimestamp": "soon"}), "not RFC 3339"),
    ],
)
def test_what_is_no_credential_is_refused_without_quoting_it(output: bytes, why: str) -> None:
    with pytest.raises(PluginFailed) as caught:
        parse_exec_credential(output, PLUGIN)
    assert why in str(caught.value)
    assert "'login'" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_the_environment_of_this_test_has_no_exec_info() -> None:
    assert "KUBERNETES_EXEC_INFO" not in os.environ

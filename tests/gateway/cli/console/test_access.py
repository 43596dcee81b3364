"""Where the management API is and what proves us there: from flags, a kubeconfig, a data directory."""

import base64
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli.approvals import approvals
from gateway.cli.console.access import DEFAULT_PORT, open_access
from gateway.cli.console.options import Named
from gateway.first_user import write_kubeconfig
from gateway.upstream.kubeconfig import BadKubeconfig
from tests.kit.console_thread import ConsoleThread, console_thread

PLUGIN = """#!/bin/sh
printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s"}}' "$KT_TOKEN"
"""


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleThread]:
    with console_thread(tmp_path / "gw") as here:
        yield here


def kubeconfig(console: ConsoleThread, path: Path, user: dict[str, Any], console_url: str | None) -> Path:
    ca = base64.b64encode(console.rig.ca.read_bytes()).decode()
    cluster: dict[str, Any] = {"server": "https://127.0.0.1:6443", "certificate-authority-data": ca}
    if console_url is not None:
        cluster["extensions"] = [{"name": "kubetape", "extension": {"console": console_url}}]
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    return path


def ls(*options: str) -> Result:
    return CliRunner().invoke(approvals, ["ls", "-o", "name", *options])


def test_the_kubeconfig_says_where_the_api_is(console: ConsoleThread, tmp_path: Path) -> None:
    hold = console.run(console.rig.hold)
    path = kubeconfig(console, tmp_path / "k", {"token": console.rig.tokens["bob"]}, console.rig.url)
    shown = ls("--kubeconfig", str(path))
    assert (shown.exit_code, shown.stdout.strip()) == (0, hold.id)
    assert ls("--kubeconfig", str(path), "--context", "other").exit_code == 5


def test_kubeconfig_is_found_where_kubectl_finds_it(
    console: ConsoleThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kubeconfig(console, tmp_path / "k", {"token": console.rig.tokens["bob"]}, console.rig.url)
    monkeypatch.setenv("KUBECONFIG", f"/nowhere/config:{path}")
    assert ls().exit_code == 0
    home = tmp_path / "home" / ".kube"
    home.mkdir(parents=True)
    path.rename(home / "config")
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert ls().exit_code == 0


def test_an_exec_plugin_is_run(console: ConsoleThread, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(PLUGIN)
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "interactiveMode": "Never",
            "command": str(plugin),
            "env": [{"name": "KT_TOKEN", "value": console.rig.tokens["bob"]}],
        }
    }
    path = kubeconfig(console, tmp_path / "k", user, console.rig.url)
    assert ls("--kubeconfig", str(path)).exit_code == 0
    plugin.write_text("#!/bin/sh\necho sorry >&2; exit 3\n")
    failed = ls("--kubeconfig", str(path))
    assert failed.exit_code == 5
    assert "ended with code 3: sorry" in failed.stderr


def test_a_server_on_the_command_line_wins_and_keeps_the_credential(
    console: ConsoleThread, tmp_path: Path
) -> None:
    path = kubeconfig(console, tmp_path / "k", {"token": console.rig.tokens["bob"]}, "https://127.0.0.1:1")
    assert ls("--kubeconfig", str(path)).exit_code == 6
    assert ls("--kubeconfig", str(path), "--server", console.rig.url).exit_code == 0


def test_a_data_directory_has_the_kubeconfig_of_its_first_user(
    console: ConsoleThread, tmp_path: Path
) -> None:
    write_kubeconfig(
        tmp_path,
        console.rig.tokens["bob"],
        server="https://127.0.0.1:6443",
        ca_file=console.rig.ca,
        console=console.rig.url,
    )
    assert ls("--data-dir", str(tmp_path)).exit_code == 0
    missing = ls("--data-dir", str(tmp_path / "none"))
    assert missing.exit_code == 5
    assert "--server URL with --token-file FILE" in missing.stderr


def test_without_a_word_about_it_the_api_is_on_the_same_host(console: ConsoleThread, tmp_path: Path) -> None:
    path = kubeconfig(console, tmp_path / "k", {"token": "t"}, None)
    access = open_access(Named(kubeconfig=path))
    assert (access.host, access.port) == ("127.0.0.1", DEFAULT_PORT)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:8443", "only https"),
        ("https://127.0.0.1:8443/console", "no path"),
        ("127.0.0.1", "form"),
    ],
)
def test_an_address_that_will_not_do_is_said(
    console: ConsoleThread, tmp_path: Path, url: str, words: str
) -> None:
    path = kubeconfig(console, tmp_path / "k", {"token": "t"}, url)
    with pytest.raises(BadKubeconfig, match=words):
        open_access(Named(kubeconfig=path))


def test_the_token_is_in_no_error(console: ConsoleThread, tmp_path: Path) -> None:
    token_file = tmp_path / "t"
    token_file.write_text("s3cr3t with blanks\x07")
    said = ls("--server", console.rig.url, "--ca", str(console.rig.ca), "--token-file", str(token_file))
    assert said.exit_code == 5
    assert "s3cr3t" not in said.output
    assert "holds no token" in said.stderr

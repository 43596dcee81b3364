"""The first user's token and kubeconfig: made once, kept, private."""

from pathlib import Path

import pytest
import trustme
import yaml

from gateway.first_user import KUBECONFIG, TOKENS_FILE, ensure_token, write_kubeconfig
from gateway.upstream.kubeconfig import parse_kubeconfig


def test_a_token_is_made_once_and_found_again(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    token = ensure_token(tmp_path)
    path = write_kubeconfig(tmp_path, token, server="https://127.0.0.1:1", ca_file=tmp_path / "ca.crt")
    assert ensure_token(tmp_path) == token
    assert token not in (tmp_path / TOKENS_FILE).read_text(), "only its hash is kept there"
    assert path.stat().st_mode & 0o777 == 0o600
    written = yaml.safe_load(path.read_text())
    assert written["users"][0]["user"]["token"] == token
    assert written["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"


@pytest.mark.parametrize("content", ["", "[", "users: []", "users: 3", "a: b"])
def test_a_kubeconfig_without_a_token_means_a_new_one(tmp_path: Path, content: str) -> None:
    (tmp_path / KUBECONFIG).write_text(content)
    (tmp_path / TOKENS_FILE).touch(mode=0o600)
    assert len(ensure_token(tmp_path)) > 20


def test_a_token_nobody_knows_any_more_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    token = ensure_token(tmp_path)
    write_kubeconfig(tmp_path, token, server="https://127.0.0.1:1", ca_file=tmp_path / "ca.crt")
    (tmp_path / TOKENS_FILE).unlink()
    assert ensure_token(tmp_path) != token


def test_the_kubeconfig_says_where_the_management_api_is(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    path = write_kubeconfig(
        tmp_path,
        "t",
        server="https://127.0.0.1:1",
        ca_file=tmp_path / "ca.crt",
        console="https://127.0.0.1:2",
    )
    access = parse_kubeconfig(path.read_bytes(), path)
    assert (access.server, access.console) == ("https://127.0.0.1:1", "https://127.0.0.1:2")
    write_kubeconfig(tmp_path, "t", server="https://127.0.0.1:1", ca_file=tmp_path / "ca.crt")
    assert parse_kubeconfig(path.read_bytes(), path).console == ""

"""`kubetape witness` as a process: its key, its state, and what it says when something is wrong."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.witness import witness
from gateway.witness.client import WitnessAhead, request_cosignatures
from storage.tlog.note import KeyType, encode_signer, generate_signer, parse_signer, parse_vkey
from tests.kit.trees import LOG, grow, opened

PROGRAM = [sys.executable, "-c", "from gateway.cli.witness import witness; witness()"]


def arguments(directory: Path, *more: str) -> list[str]:
    key, state = str(directory / "w.key"), str(directory / "state")
    return ["--key", key, "--state", state, "--log", LOG.verifier.vkey, "--listen", "127.0.0.1:0", *more]


@contextmanager
def running(*options: str) -> Iterator[tuple[str, str]]:
    """The verifier key and the address of a witness."""
    with subprocess.Popen([*PROGRAM, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline() + process.stderr.readline()
            found = re.fullmatch(r"witness (\S+)\nfor kubetape/gw-1/0 at (http://\S+)\n", said)
            assert found, said + process.stderr.read()
            yield found[1], found[2]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert process.stderr.read() == ""


@pytest.mark.parametrize("key_type", ["ed25519", "ml-dsa-44"])
def test_a_new_witness_makes_its_key_and_remembers_over_a_restart(tmp_path: Path, key_type: str) -> None:
    store = opened(tmp_path / "tlog")
    grow(store, 20)
    old = store.note
    with running(*arguments(tmp_path, "--name", "w.example/1", "--key-type", key_type)) as (vkey, url):
        assert old is not None
        key = parse_vkey(vkey)
        assert key.name == "w.example/1"
        assert request_cosignatures(url, old, 0, store.consistency_proof, [key])
        grow(store, 30)
        assert store.note is not None
        assert request_cosignatures(url, store.note, 20, store.consistency_proof, [key])
    assert (tmp_path / "w.key").stat().st_mode & 0o777 == 0o600
    assert parse_signer((tmp_path / "w.key").read_text().strip()).verifier == key
    with running(*arguments(tmp_path)) as (again, url):
        assert again == vkey
        with pytest.raises(WitnessAhead):
            request_cosignatures(url, old, 0, store.consistency_proof, [key])


def run(*options: str) -> Result:
    return CliRunner().invoke(witness, options)


def test_a_log_may_be_named_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "log.vkey").write_text(LOG.verifier.vkey + "\n")
    options = [
        str(tmp_path / "log.vkey") if part == LOG.verifier.vkey else part for part in arguments(tmp_path)
    ]
    with running(*options, "--name", "w"):
        pass


@pytest.mark.parametrize(
    ("key", "more", "why"),
    [
        (None, [], "does not exist; give --name NAME"),
        (None, ["--name", "a b"], "cannot be a key's name"),
        ("nonsense", [], "a signer key begins with PRIVATE+KEY+"),
        ("x" * 20_000, [], "is too large for a key file"),
        (generate_signer("w")[0], [], "holds a note key"),
        (
            encode_signer("w", KeyType.COSIGNATURE, bytes(32)),
            ["--name", "v"],
            "is the key of 'w', not of 'v'",
        ),
        (encode_signer("w", KeyType.COSIGNATURE, bytes(32)), ["--log", "nonsense"], "not a verifier key"),
    ],
)
def test_a_key_that_cannot_be_used_is_one_line(
    tmp_path: Path, key: str | None, more: list[str], why: str
) -> None:
    if key is not None:
        (tmp_path / "w.key").write_text(key)
    result = run(*arguments(tmp_path, *more))
    assert result.exit_code == 1
    assert why in result.output
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("listen", ["7380", ":7380", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536"])
def test_a_wrong_address_is_wrong_usage(tmp_path: Path, listen: str) -> None:
    result = run(*arguments(tmp_path, "--name", "w", "--listen", listen))
    assert result.exit_code == 2
    assert "write HOST:PORT" in result.output


def test_an_address_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(*arguments(tmp_path, "--name", "w", "--listen", f"127.0.0.1:{port}"))
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.output


def test_a_state_in_use_is_said(tmp_path: Path) -> None:
    with running(*arguments(tmp_path, "--name", "w")):
        result = run(*arguments(tmp_path))
    assert result.exit_code == 1
    assert "is the state of another running witness" in result.output

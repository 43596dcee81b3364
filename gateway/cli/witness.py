"""`kubetape witness`: cosign what logs show, and refuse a log that shows two histories."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from storage.errors import StorageError
from storage.tlog.note import (
    BadKey,
    KeyType,
    SignerKey,
    VerifierKey,
    generate_signer,
    parse_signer,
    parse_vkey,
)

EXIT_FAILED: Final = 1
_MAX_KEY_BYTES: Final = 16 * 1024
_KINDS: Final = {"ed25519": KeyType.COSIGNATURE, "ml-dsa-44": KeyType.MLDSA44}


@click.command("witness")
@click.option(
    "--key",
    "key_file",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The witness's signer key; made at first start, with --name.",
)
@click.option("--name", metavar="NAME", help="Name of a new key, such as witness.example.com/w1.")
@click.option(
    "--key-type", type=click.Choice(list(_KINDS)), default="ed25519", show_default=True, help="Of a new key."
)
@click.option(
    "--log",
    "logs",
    required=True,
    multiple=True,
    metavar="VKEY",
    help="Verifier key of a log to watch, or a file that holds it (repeatable). Its name is the log's origin.",
)
@click.option(
    "--state",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="What was cosigned. Lose it, and this witness must be retired.",
)
@click.option(
    "--listen", default="127.0.0.1:7380", show_default=True, metavar="HOST:PORT", help="Port 0: any free one."
)
def witness(
    key_file: Path, name: str | None, key_type: str, logs: tuple[str, ...], state: Path, listen: str
) -> None:
    """Run a witness for the logs of gateways (c2sp.org/tlog-witness).

    A witness remembers the last checkpoint of each log and cosigns the next only if it continues that one.
    It is worth something when somebody else than the gateway's operator runs it, elsewhere.

    \b
    Example:
      kubetape witness --key w1.key --name witness.example.com/w1 --state ./witness \\
          --log kubetape/gw-1/0+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
    """
    host, port = _address(listen)
    try:
        signer = _open_key(key_file, name, _KINDS[key_type])
        keys = [_log_key(text) for text in logs]
    except (BadKey, OSError) as error:
        _fail(error)
    _run(host, port, signer, keys, state)


def _run(host: str, port: int, signer: SignerKey, keys: Sequence[VerifierKey], directory: Path) -> None:
    import trio

    from gateway.errors import GatewayError, innermost
    from gateway.witness.server import Witness, serve_witness
    from storage.files import REAL_FILES
    from storage.tlog.witness_state import WitnessState

    async def serve(state: WitnessState) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                bound = await nursery.start(serve_witness, host, port, Witness([signer], keys, state))
                click.echo(f"witness {signer.verifier.vkey}", err=True)
                click.echo(f"for {', '.join(key.name for key in keys)} at http://{host}:{bound}", err=True)
                await anext(signals)
                nursery.cancel_scope.cancel()

    try:
        opened = WitnessState(REAL_FILES, directory)
    except StorageError as error:
        _fail(error)
    problem: BaseException | None = None
    try:
        trio.run(serve, opened, strict_exception_groups=True)
    except* GatewayError as group:
        problem = innermost(group)
    finally:
        opened.close()
    if problem is not None:
        _fail(problem)  # not within: what is raised there comes out as a group


def _address(listen: str) -> tuple[str, int]:
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise click.BadParameter("write HOST:PORT, such as 0.0.0.0:7380", param_hint="--listen")
    return host.strip("[]"), int(port)


def _open_key(path: Path, name: str | None, key_type: KeyType) -> SignerKey:
    """The witness's key; a new one is written, mode 0600, when there is none. Raises BadKey, OSError."""
    try:
        text = _read(path)
    except FileNotFoundError:
        if name is None:
            raise BadKey(f"{path} does not exist; give --name NAME to make a new key there") from None
        text, _ = generate_signer(name, key_type)
        _write_new(path, text + "\n")
    signer = parse_signer(text.strip())
    if signer.verifier.type is KeyType.ED25519:
        raise BadKey(f"{path} holds a note key (type 0x01); a witness needs a cosignature key (0x04 or 0x06)")
    if name is not None and name != signer.verifier.name:
        raise BadKey(f"{path} is the key of {signer.verifier.name!r}, not of {name!r}")
    return signer


def _write_new(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)


def _log_key(text: str) -> VerifierKey:
    """A log's key from the command line, or from the file it names. Raises BadKey, OSError."""
    return parse_vkey(_read(Path(text)).strip() if os.path.exists(text) else text)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MAX_KEY_BYTES + 1)
    if len(data) > _MAX_KEY_BYTES:
        raise BadKey(f"{path} is too large for a key file")
    return data.decode("utf-8", "replace")


def _fail(error: BaseException) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(EXIT_FAILED)

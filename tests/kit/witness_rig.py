"""A real witness on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from gateway.witness.server import Witness, serve_witness
from storage.files import REAL_FILES
from storage.tlog.note import KeyType, SignerKey, VerifierKey, encode_signer, parse_signer
from storage.tlog.witness_state import WitnessState
from tests.kit.trees import LOG

WITNESS_KEY = parse_signer(encode_signer("w.example/1", KeyType.COSIGNATURE, bytes(range(32))))


@asynccontextmanager
async def open_witness(
    directory: Path, log: VerifierKey = LOG.verifier, key: SignerKey = WITNESS_KEY
) -> AsyncIterator[str]:
    """Its URL. directory: where it remembers what it has seen. log: the one log it knows."""
    state = WitnessState(REAL_FILES, directory)
    async with trio.open_nursery() as nursery:
        served = Witness([key], [log], state)
        yield f"http://127.0.0.1:{await nursery.start(serve_witness, '127.0.0.1', 0, served)}"
        nursery.cancel_scope.cancel()
    state.close()

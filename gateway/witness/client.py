"""Asking one witness for its cosignature (c2sp.org/tlog-witness): one POST, at most one more. Conduct.

Blocking, for the keeper's threads. The witness is told from which size the proof starts; if it remembers
another one it says so (409), and is asked again from there. What it answers is believed as far as its key
goes: only lines that verify under the keys we know are returned.

The trap: a witness that has cosigned more of this log than we have means that we lost something, or that
somebody else signs with our key. That is `WitnessAhead`, never a reason to ask again. Before anything is
sent, the checkpoint must be durable here (`TreeStore.publish(durable=True)`).
"""

import ssl
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError
from storage.tlog.checkpoint import BadCheckpoint, check_signature, parse_checkpoint, parse_decimal
from storage.tlog.note import (
    BadNote,
    BadSignature,
    Note,
    Signature,
    VerifierKey,
    parse_note,
    parse_signatures,
    signed_by,
)
from storage.tlog.witness import AddCheckpoint, encode_request

if TYPE_CHECKING:
    import httpx2

DEADLINE_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 64 * 1024
"""A dozen post-quantum cosignatures; anything longer is no witness."""
_SHOWN_BYTES: Final = 200

Prove = Callable[[int, int], Sequence[bytes]]
"""(old size, new size) -> consistency proof, as `TreeStore.consistency_proof` gives it."""


class WitnessFailed(GatewayError):
    """No cosignature could be had. Publish without it, try again with the next checkpoint."""


class WitnessAhead(WitnessFailed):
    """The witness has cosigned a larger tree of this log than ours. Stop and alert: the log went back here,
    or its key is used elsewhere too."""

    def __init__(self, url: str, theirs: int, ours: int) -> None:
        super().__init__(
            f"{url} has cosigned this log at size {theirs}, and it has {ours} here: it went back"
        )
        self.theirs, self.ours = theirs, ours


class WitnessRefused(WitnessFailed):
    """The witness found our checkpoint wrong (403, 404, 422...). Look at its keys, or at the log."""

    def __init__(self, url: str, status: int, why: str) -> None:
        super().__init__(f"{url} answered {status}: {why}")
        self.status, self.why = status, why


def request_cosignatures(
    url: str,
    note: bytes,
    old_size: int,
    prove: Prove,
    keys: Sequence[VerifierKey],
    *,
    deadline_s: float = DEADLINE_S,
    ca_file: str | None = None,
) -> tuple[Signature, ...]:
    """Have one witness cosign a checkpoint of ours; returns its lines, at least one, all verified.

    url: the submission prefix. note: the signed checkpoint. old_size: what this witness cosigned last, 0 if
    unknown. keys: of the witness. deadline_s: for everything. ca_file: PEM instead of the system's roots.
    Raises WitnessFailed and its kinds.
    """
    text = parse_note(note).text
    size = parse_checkpoint(text).size
    ends_s = time.monotonic() + deadline_s
    old_size = min(old_size, size)
    for _ in range(2):
        body = encode_request(AddCheckpoint(old_size, tuple(prove(old_size, size)), note))
        status, answer = _post(url.rstrip("/") + "/add-checkpoint", body, ends_s, ca_file)
        if status == 200:
            return _verified(url, text, answer, keys)
        if status != 409:
            raise WitnessRefused(url, status, _shown(answer))
        old_size = _conflicting_size(url, answer)
        if old_size > size:
            raise WitnessAhead(url, old_size, size)
    raise WitnessFailed(f"{url} names another size at every request: does another process ask for this log?")


def _conflicting_size(url: str, answer: bytes) -> int:
    try:
        return parse_decimal(answer.decode("ascii").removesuffix("\n"))
    except ValueError:
        raise WitnessFailed(f"{url} answered 409 without a size: {_shown(answer)}") from None


def _verified(url: str, text: str, answer: bytes, keys: Sequence[VerifierKey]) -> tuple[Signature, ...]:
    try:
        found = signed_by(Note(text, parse_signatures(answer)), keys, check_signature)
    except (BadNote, BadSignature, BadCheckpoint) as error:
        raise WitnessFailed(f"{url} answered no valid cosignature: {error}") from None
    if not found:
        raise WitnessFailed(f"{url} cosigned with keys we do not know; compare the witness's vkey")
    return tuple(found.values())


def _shown(answer: bytes) -> str:
    """A peer's words for an error message: one printable line."""
    text = answer[:_SHOWN_BYTES].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else " " for character in text).strip() or "nothing"


def _post(url: str, body: bytes, ends_s: float, ca_file: str | None) -> tuple[int, bytes]:
    """Status and body of the answer. Raises WitnessFailed."""
    import httpx2  # 120 ms: paid at the first request, not by every command that imports this package

    left_s = ends_s - time.monotonic()
    if left_s <= 0:
        raise WitnessFailed(f"{url} did not answer in time")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise WitnessFailed(f"CA file {ca_file}: {error.strerror or 'not PEM'}") from None
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "accept-encoding": "identity",
        "user-agent": "kubetape",
    }
    try:
        with (
            httpx2.Client(verify=context, timeout=left_s, follow_redirects=False) as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            return response.status_code, _read(response, url, ends_s)
    except httpx2.TimeoutException:
        raise WitnessFailed(f"{url} did not answer in time") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise WitnessFailed(f"{url}: {type(error).__name__}: {error}") from None


def _read(response: "httpx2.Response", url: str, ends_s: float) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise WitnessFailed(f"{url} answered compressed, which was not asked for")
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise WitnessFailed(f"{url} answered more than {MAX_ANSWER_BYTES} bytes")
        # The library's timeout is for one read; a peer that sends a byte a second would never meet it.
        if time.monotonic() > ends_s:
            raise WitnessFailed(f"{url} did not answer in time")
    return bytes(body)

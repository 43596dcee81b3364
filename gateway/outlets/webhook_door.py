"""One HTTP client for one webhook: POST a body, read a little of the answer, never longer than a deadline. Blocking.

Shared by the audit webhook and by notices. Whatever goes wrong is an `Answer` with status 0 and words that are fit
for a status page; nothing raises, nothing is followed, no secret is in any text.

The trap: what answers is not to be believed. Redirects are not followed, answers are read up to a limit, each attempt
has one deadline, and a name that leads to a metadata service today is refused today.
"""

import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from gateway.outlets.settings import is_forbidden, parse_webhook_url
from storage.ansi import printable

if TYPE_CHECKING:
    import httpx2

CONNECT_S: Final = 5.0
ATTEMPT_S: Final = 15.0
"""One POST, name lookup to last byte: kube-apiserver waits 30 s, people who watch a backlog less."""
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_TOKEN_BYTES: Final = 16 * 1024
MAX_RETRY_AFTER_S: Final = 300.0
EXCERPT_CHARS: Final = 200

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")

MakeHeaders: TypeAlias = Callable[[bytes], Mapping[str, str]]
"""body -> the headers of this attempt. Raises NotSent: then nothing is sent, for this reason."""


class Answer(NamedTuple):
    """What came back. status 0: nothing, `excerpt` says why."""

    status: int
    excerpt: str = ""
    retry_after_s: float = 0.0


class NotSent(Exception):
    """Nothing was sent; the text says why and is fit for a status page."""


class WebhookDoor:
    """The HTTP client of one webhook: made when needed, thrown away when it failed. ca_file: read anew then."""

    def __init__(self, url: str, ca_file: str | None, headers: MakeHeaders) -> None:
        self._url, self._ca_file, self._headers = url, ca_file, headers
        self._where = parse_webhook_url(self._url)
        self._client: httpx2.Client | None = None

    def post(self, body: bytes) -> Answer:
        deadline_s = time.monotonic() + ATTEMPT_S
        try:
            return self._post(body, deadline_s)
        except NotSent as refused:
            return Answer(0, str(refused))
        except Exception as error:
            # Whatever a broken receiver brings the HTTP stack to raise: it must not end this program.
            return Answer(0, f"{self._where.host}: {_root_cause(error)}")
        finally:
            if time.monotonic() > deadline_s:
                self.close()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _post(self, body: bytes, deadline_s: float) -> Answer:
        self._check_addresses()
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "kubetape",
        }
        headers |= self._headers(body)
        client = self._client or self._open()
        try:
            with client.stream("POST", self._url, content=body, headers=headers) as response:
                text = _read_excerpt(response, deadline_s)
                retry_after = response.headers.get("retry-after", "")
                return Answer(response.status_code, text, _seconds(retry_after))
        except Exception:
            self.close()  # also so that a new CA file is read
            raise

    def _open(self) -> "httpx2.Client":
        import httpx2  # a tenth of a second: paid by those who have a webhook

        try:
            context = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else True
        except OSError as error:  # ssl.SSLError is one
            raise NotSent(f"CA file {self._ca_file}: {error.strerror or 'not PEM'}") from None
        timeout = httpx2.Timeout(ATTEMPT_S, connect=CONNECT_S)
        self._client = httpx2.Client(
            verify=context,
            timeout=timeout,
            follow_redirects=False,
            trust_env=not self._where.is_loopback,  # a proxy elsewhere cannot reach this machine's loopback
        )
        return self._client

    def _check_addresses(self) -> None:
        """A name may lead to a metadata service, too, and another way tomorrow."""
        try:
            found = socket.getaddrinfo(self._where.host, self._where.port, type=socket.SOCK_STREAM)
        except OSError:
            return  # the HTTP stack will say so, unless a proxy knows the name
        for *_, address in found:
            if is_forbidden(str(address[0])):
                raise NotSent(
                    f"{self._where.host} is a link-local or metadata address: events do not go there"
                )


def read_token(path: Path) -> str:
    """The token, read anew each time: tokens of pods rotate. Never in an error."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise NotSent(f"token file {path}: {error.strerror}") from None
    token = content.decode("ascii", "replace").strip()
    if len(content) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise NotSent(f"token file {path} holds no token: one word of visible ASCII")
    return token


def _read_excerpt(response: "httpx2.Response", deadline_s: float) -> str:
    """The beginning of an answer, fit to be shown; reads little, and not for ever."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES or time.monotonic() > deadline_s:
            break
    text = bytes(body[: 4 * EXCERPT_CHARS]).decode("utf-8", "replace").strip()
    return printable(text.replace("\n", " "))[:EXCERPT_CHARS]


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds; a date, or nonsense, is 0: our own patience will do."""
    if not (retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10):
        return 0.0
    return min(float(retry_after), MAX_RETRY_AFTER_S)


def _root_cause(error: BaseException) -> str:
    """The first error of a chain, in words: the HTTP stack's own ones often have no text."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return printable(f"{type(error).__name__}: {error}")[:EXCERPT_CHARS]

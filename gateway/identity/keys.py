"""The keys of one issuer: fetched, kept fresh, thrown away when too old. Conduct.

One task per issuer does all fetching, so a thousand requests with an unknown key id cost one refresh;
they wait for it or are turned away, and it happens at most every 30 s. What was read last stays good for
24 h while the issuer is away, then nobody of that issuer gets in. Nothing here blocks the start.

The trap: everything fetched is the word of whoever answers. So: https with a verified certificate, no
redirects, no compression, 1 MiB, 5 s, and a discovery document that names exactly our issuer.
Source: OpenID Connect Discovery 1.0 section 4, RFC 7517, RFC 8725 section 3.
"""

import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from gateway.errors import GatewayError
from gateway.identity.errors import Unauthenticated
from gateway.identity.jwks import KeySet, UnusableKeys, VerificationKey, parse_jwks
from gateway.identity.predecode import parse_strict_json
from gateway.identity.settings import IssuerSettings, is_https_url

if TYPE_CHECKING:
    import httpx2

FETCH_TIMEOUT_S: Final = 5.0
MAX_DOCUMENT_BYTES: Final = 1024 * 1024
REFRESH_S: Final = 600.0
"""Ordinary age of the keys. Issuers announce a new key hours before they use it."""
DEMAND_INTERVAL_S: Final = 30.0
"""Unknown key ids cause at most one refresh in this time, whoever sends them and however many."""
LAST_GOOD_S: Final = 24 * 3600.0
RETRY_S: Final = (2.0, 4.0, 8.0, 16.0, 30.0)
"""After the first, second, ... failed attempt in a row; the last one repeats."""
MAX_WAITING: Final = 1000

Fetch: TypeAlias = Callable[[str, str | None], Awaitable[bytes]]
"""(https URL, CA file or None) -> body. Raises FetchFailed."""

_log = logging.getLogger(__name__)


class FetchFailed(GatewayError):
    """An issuer's document could not be had. Keep what there was, try again later."""


class IssuerKeys:
    """The keys of one issuer. `run` keeps them; `key_for` finds the one a token was signed with.

    generation: changes when a key is withdrawn, or all are too old: whatever was verified before is
    to be verified again.
    """

    def __init__(self, settings: IssuerSettings, *, fetch: Fetch | None = None) -> None:
        self.settings = settings
        self.generation = 0
        self.last_error = "keys have not been fetched yet"  # "" after a success
        self._fetch: Fetch = fetch or fetch_document
        self._keys = KeySet(())
        self._loaded_at = -LAST_GOOD_S  # trio.current_time()
        self._failures = 0  # in a row
        self._running = False
        self._pending = False  # an attempt is asked for or under way
        self._wanted = trio.Event()
        self._attempt_over = trio.Event()
        self._next_demand_at = -DEMAND_INTERVAL_S  # trio.current_time()
        self._waiting = 0

    @property
    def ready(self) -> bool:
        """Whether tokens of this issuer can be verified now."""
        return bool(self._keys.keys)

    async def key_for(self, key_id: str | None, algorithm: str) -> VerificationKey:
        """The key for a token's "kid" and "alg". May wait for one refresh; raises Unauthenticated."""
        self._drop_if_too_old()
        if not self._keys.candidates(key_id):
            await self._refresh_on_demand()
        candidates = self._keys.candidates(key_id)
        if not candidates:
            if self.last_error:
                raise Unauthenticated(
                    f"the keys of the token's issuer are not available; try again in {DEMAND_INTERVAL_S:.0f} s",
                    detail=f"{self.settings.url}: {self.last_error}",
                    unavailable=True,
                )
            raise Unauthenticated("the token is signed with a key its issuer does not publish")
        fitting = [key for key in candidates if key.algorithm == algorithm]
        if not fitting:
            raise Unauthenticated("the token's algorithm is not that of its key")
        if len(fitting) > 1:
            raise Unauthenticated("the token does not say which of its issuer's keys signed it")
        return fitting[0]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the keys fresh, forever. Starts at once, whether the issuer answers or not."""
        self._running = self._pending = True
        task_status.started()
        try:
            while True:
                await self._attempt()
                with trio.move_on_after(self._pause_s()):
                    await self._wanted.wait()
        finally:
            self._running = False
            self._attempt_ended()

    async def _refresh_on_demand(self) -> None:
        """Wait for the attempt under way, or ask for one if that is allowed again."""
        if not self._running or self._waiting >= MAX_WAITING:
            return
        if not self._pending:
            now = trio.current_time()
            if now < self._next_demand_at:
                return
            self._next_demand_at = now + DEMAND_INTERVAL_S
            self._pending = True
            self._wanted.set()
        self._waiting += 1
        try:
            await self._attempt_over.wait()
        finally:
            self._waiting -= 1

    async def _attempt(self) -> None:
        self._pending = True
        try:
            keys = await self._fetch_keys()
        except (FetchFailed, UnusableKeys) as error:
            self._failures += 1
            if str(error) != self.last_error:  # said once, not every 30 s
                _log.error("keys of issuer %s not refreshed: %s", self.settings.url, error)
            self.last_error = str(error)
            self._drop_if_too_old()
        else:
            self._adopt(keys)
        finally:
            self._attempt_ended()

    def _attempt_ended(self) -> None:
        self._pending = False
        self._wanted = trio.Event()
        over, self._attempt_over = self._attempt_over, trio.Event()
        over.set()

    async def _fetch_keys(self) -> KeySet:
        settings = self.settings
        url = settings.url.rstrip("/") + "/.well-known/openid-configuration"
        jwks_uri = parse_discovery(await self._fetch(url, settings.ca_file), settings.url)
        return parse_jwks(await self._fetch(jwks_uri, settings.ca_file), settings.algorithms)

    def _adopt(self, keys: KeySet) -> None:
        if self._keys.identities - keys.identities:
            self.generation += 1
        if keys.complaints and keys.complaints != self._keys.complaints:
            _log.error("keys of issuer %s: %s", self.settings.url, "; ".join(keys.complaints))
        if keys.identities != self._keys.identities:
            _log.info("issuer %s: %d keys", self.settings.url, len(keys.keys))
        self._keys = keys
        self._loaded_at = trio.current_time()
        self._failures, self.last_error = 0, ""

    def _drop_if_too_old(self) -> None:
        if self._keys.keys and trio.current_time() - self._loaded_at > LAST_GOOD_S:
            _log.critical(
                "issuer %s: its keys are older than 24 h, its tokens are refused", self.settings.url
            )
            self._keys = KeySet(())
            self.generation += 1

    def _pause_s(self) -> float:
        if self._failures:
            return RETRY_S[min(self._failures, len(RETRY_S)) - 1]
        # Spread, so that replicas started together do not ask together for ever.
        return REFRESH_S * random.uniform(0.9, 1.1)


def parse_discovery(document: bytes, issuer: str) -> str:
    """The "jwks_uri" of a discovery document of exactly this issuer. Raises FetchFailed."""
    try:
        value = parse_strict_json(document, max_depth=16)
    except ValueError as error:
        raise FetchFailed(f"the discovery document is not acceptable JSON: {error}") from None
    if not isinstance(value, dict) or value.get("issuer") != issuer:
        raise FetchFailed("the discovery document is of another issuer (the configured url must be exact)")
    jwks_uri = value.get("jwks_uri")
    if not isinstance(jwks_uri, str) or not is_https_url(jwks_uri):
        raise FetchFailed("the discovery document has no https jwks_uri")
    return jwks_uri


async def fetch_document(url: str, ca_file: str | None) -> bytes:
    """GET one small document, with all limits of the module docstring. Raises FetchFailed.

    ca_file: PEM that replaces the system's roots, read anew each time; None: the system's, or
    SSL_CERT_FILE. A proxy is used only where HTTPS_PROXY says so (and NO_PROXY does not).
    """
    import httpx2  # 120 ms: paid at the first fetch, not by every command that imports this package

    try:
        context = ssl.create_default_context(cafile=ca_file) if ca_file else _system_context()
    except OSError as error:  # ssl.SSLError is one
        raise FetchFailed(f"CA file {ca_file}: {error.strerror or 'not PEM'}") from None
    headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "kubetape"}
    try:
        with trio.fail_after(FETCH_TIMEOUT_S):
            # Cancelled in its TLS handshake the HTTP stack leaks the socket; timed out by itself it does not.
            timeout = httpx2.Timeout(None, connect=FETCH_TIMEOUT_S * 0.8)
            async with httpx2.AsyncClient(verify=context, timeout=timeout, follow_redirects=False) as client:
                async with client.stream("GET", url, headers=headers) as response:
                    return await _read_body(response, url)
    except (trio.TooSlowError, httpx2.TimeoutException):
        raise FetchFailed(f"{url} did not answer within {FETCH_TIMEOUT_S:.0f} s") from None
    except FetchFailed:
        raise
    except Exception as error:
        # Whatever a broken issuer or proxy brings the HTTP stack to raise: it must not end this process.
        raise FetchFailed(f"{url}: {_root_cause(error)}") from None


async def _read_body(response: "httpx2.Response", url: str) -> bytes:
    if response.status_code != 200:
        raise FetchFailed(f"{url} answered {response.status_code} (redirects are not followed)")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed(f"{url} answered compressed, which was not asked for")
    body = bytearray()
    # Cancelled, not left: the HTTP stack's nested async generators end properly only from the inside.
    with trio.CancelScope() as reading:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                reading.cancel()
    if len(body) > MAX_DOCUMENT_BYTES:
        raise FetchFailed(f"{url} answered more than {MAX_DOCUMENT_BYTES} bytes")
    return bytes(body)


def _root_cause(error: BaseException) -> str:
    """The first error of a chain, in words: the HTTP stack's own ones often have no text."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}"


@lru_cache(maxsize=1)
def _system_context() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()  # 50 ms of parsing roots: once a process

"""What proves the gateway to the cluster, kept fresh in the background; and where the cluster is.

`authorization()` never waits: `run` renews tokens before they expire, reads changed files again and runs
exec plugins, one at a time. The last good credential serves until it expires by its own word; after that
there is none, and the call must not go upstream. Files are read by threads: a token may be on any file
system. A new client certificate needs new connections, so it raises `generation`, which the pool compares.
Source: k8s.io/client-go transport/token_source.go, transport/cert_rotation.go, plugin/pkg/client/auth/exec.
"""

import base64
import binascii
import math
import os
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec
import trio

from gateway.errors import GatewayError
from gateway.upstream.exec_plugin import PluginCredential, PluginFailed, run_plugin
from gateway.upstream.kubeconfig import (
    MAX_KUBECONFIG_BYTES,
    BadKubeconfig,
    ClusterAccess,
    ExecPlugin,
    UserAccess,
    parse_kubeconfig,
    parse_server,
)
from gateway.upstream.secret import Secret
from gateway.upstream.tls import ClientCertificate, UnusableTlsMaterial, make_client_context
from protocol.headers import is_field_value

CHECK_INTERVAL_S: Final = 10.0
"""How often files are looked at. kubelet renews a service account token 12 minutes before its end."""

CLOCK_SKEW_S: Final = 60.0
"""A token is called expired only so long after its `exp`: the API server's clock decides, not ours."""

REFRESH_SHARE: Final = 0.2
MAX_REFRESH_AHEAD_S: Final = 300.0
"""A plugin is run again when a fifth of the lifetime is left, at most 5 minutes; spread by a quarter, so
that replicas that started together do not come together."""

RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0
REJECTED_INTERVAL_S: Final = 10.0
"""The API server rejected a credential: at most one renewal per so many seconds, however many calls fail."""

MAX_FILE_BYTES: Final = 1024 * 1024
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Clock = Callable[[], float]


class CredentialUnavailable(GatewayError):
    """There is no valid credential now. Refuse the call (503); the message says why, never the value."""


class Credential(Protocol):
    """What all credentials offer."""

    @property
    def generation(self) -> int:
        """Raised when the client certificate changes: connections of an older one are outdated."""

    @property
    def certificate(self) -> ClientCertificate | None: ...

    def authorization(self) -> bytes | None:
        """The Authorization header, or None (certificate only). Raises CredentialUnavailable; never waits."""

    def rejected(self) -> None:
        """The API server answered 401: renew soon. Cheap, may be called for every such answer."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep it fresh, forever. Started once the first attempt is over, good or not."""


class StoredCredential:
    """A credential from a kubeconfig's text or from files: token, password, certificate.

    Files are read at construction (BadKubeconfig when that fails) and again when they change; one that
    cannot be read later leaves the last good content in force.
    """

    def __init__(self, user: UserAccess, where: str, *, now: Clock = time.time) -> None:
        self._user = user
        self._now = now
        self._generation = 0
        self._wake = trio.Event()
        self._seen = self._signatures()
        self._header, self._expires_s = self._read_header(where)
        self._certificate = self._read_certificate(where)

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def certificate(self) -> ClientCertificate | None:
        return self._certificate

    def authorization(self) -> bytes | None:
        if self._expires_s is not None and self._now() > self._expires_s + CLOCK_SKEW_S:
            source = self._user.token_file or "the kubeconfig"
            raise CredentialUnavailable(f"the token in {source} expired at {_show_time(self._expires_s)}")
        return None if self._header is None else self._header.reveal()

    def rejected(self) -> None:
        self._wake.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        if not self._paths():
            await trio.sleep_forever()
        while True:
            with trio.move_on_after(CHECK_INTERVAL_S):
                await self._wake.wait()
            await trio.to_thread.run_sync(self._reload)
            if self._wake.is_set():
                self._wake = trio.Event()
                await trio.sleep(RETRY_FIRST_S)  # rejected calls may come by the thousand

    def _paths(self) -> list[Path]:
        return [
            path
            for path in (self._user.token_file, self._user.certificate, self._user.key)
            if isinstance(path, Path)
        ]

    def _signatures(self) -> list[tuple[int, int, int] | None]:
        """What changes when a file does: also when a symbolic link on its way is swapped, as kubelet does."""
        found: list[tuple[int, int, int] | None] = []
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return found

    def _reload(self) -> None:
        """Read changed files. A pair of certificate and key that does not fit (half written) is left for later."""
        seen = self._signatures()
        if seen == self._seen:
            return
        try:
            header, expires_s = self._read_header("")
            certificate = self._read_certificate("")
            if certificate is not None:
                make_client_context(None, certificate)
        except (BadKubeconfig, UnusableTlsMaterial):
            return
        self._seen = seen
        self._header, self._expires_s = header, expires_s
        if certificate != self._certificate:
            self._certificate = certificate
            self._generation += 1

    def _read_header(self, where: str) -> tuple[Secret | None, float | None]:
        user = self._user
        if user.token_file is not None:
            token = _read_file(user.token_file, "token file", where).strip()
            if not token or not is_field_value(token):
                raise BadKubeconfig(f"{where}: the token file {user.token_file} holds no token")
            return Secret(b"Bearer " + token), parse_expiry(token)
        if user.token is not None:
            return Secret(b"Bearer " + user.token.reveal()), parse_expiry(user.token.reveal())
        if user.password is not None:
            pair = user.username.encode() + b":" + user.password.reveal()
            return Secret(b"Basic " + base64.b64encode(pair)), None
        return None, None

    def _read_certificate(self, where: str) -> ClientCertificate | None:
        certificate, key = self._user.certificate, self._user.key
        if certificate is None or key is None:
            return None
        if isinstance(certificate, Path):
            certificate = _read_file(certificate, "client certificate", where)
        if isinstance(key, Path):
            key = Secret(_read_file(key, "client key", where))
        return ClientCertificate(certificate, key)


class ExecCredential:
    """A credential from an exec plugin, renewed before it expires and after a rejection."""

    def __init__(self, plugin: ExecPlugin, ca: bytes | None, *, now: Clock = time.time) -> None:
        self._plugin, self._ca, self._now = plugin, ca, now
        self._current: PluginCredential | None = None
        self._header: Secret | None = None
        self._why = "the exec plugin has not run yet"
        self._generation = 0
        self._tried_s = -math.inf  # monotonic
        self._wake = trio.Event()

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def certificate(self) -> ClientCertificate | None:
        current = self._current
        if current is None or current.certificate is None or current.key is None:
            return None
        return ClientCertificate(current.certificate, current.key)

    def authorization(self) -> bytes | None:
        current = self._current
        if current is None:
            raise CredentialUnavailable(self._why)
        if current.expires_s is not None and self._now() > current.expires_s:
            raise CredentialUnavailable(
                f"the credential of exec plugin {self._plugin.command!r} expired at {_show_time(current.expires_s)}"
                + (f", and: {self._why}" if self._why else "")
            )
        return None if self._header is None else self._header.reveal()

    def rejected(self) -> None:
        self._wake.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        wait_s = retry_s = RETRY_FIRST_S
        while True:
            self._wake = trio.Event()
            renewed = await self._refresh()
            self._tried_s = time.monotonic()
            if renewed:
                retry_s, wait_s = RETRY_FIRST_S, self._until_refresh_s()
            else:
                wait_s = retry_s * random.uniform(1, 1.25)
                retry_s = min(2 * retry_s, RETRY_MOST_S)
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            await self._wait(wait_s)

    async def _wait(self, wait_s: float) -> None:
        """Until it is time, or a rejection comes; never sooner than REJECTED_INTERVAL_S after the last attempt."""
        with trio.move_on_after(wait_s):
            await self._wake.wait()
            await trio.sleep(max(0.0, self._tried_s + REJECTED_INTERVAL_S - time.monotonic()))

    def _until_refresh_s(self) -> float:
        expires_s = self._current.expires_s if self._current is not None else None
        if expires_s is None:
            return math.inf
        left_s = expires_s - self._now()
        ahead_s = min(left_s * REFRESH_SHARE, MAX_REFRESH_AHEAD_S)
        return max(RETRY_FIRST_S, left_s - ahead_s * random.uniform(1, 1.25))

    async def _refresh(self) -> bool:
        try:
            fresh = await run_plugin(self._plugin, self._ca)
            if fresh.certificate is not None and fresh.key is not None:
                make_client_context(None, ClientCertificate(fresh.certificate, fresh.key))
            if fresh.expires_s is not None and fresh.expires_s <= self._now():
                raise PluginFailed(
                    f"exec plugin {self._plugin.command!r} printed a credential that has expired"
                )
        except (PluginFailed, UnusableTlsMaterial) as error:
            self._why = str(error)
            return False
        before = self.certificate
        self._current, self._why = fresh, ""
        self._header = None if fresh.token is None else Secret(b"Bearer " + fresh.token.reveal())
        if self.certificate != before:
            self._generation += 1
        return True


@dataclass(frozen=True)
class UpstreamCluster:
    """One API server and the credential for it. Made by the loaders below."""

    host: str
    port: int
    authority: bytes  # what goes into Host
    path_prefix: bytes  # b"" or like b"/clusters/prod": before every target
    server_name: str  # what its certificate must be for
    ca: bytes | None
    credential: Credential
    _contexts: dict[tuple[str, ...], tuple[int, ssl.SSLContext]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def generation(self) -> int:
        """See Credential.generation."""
        return self.credential.generation

    def ssl_context(self, *alpn: str) -> ssl.SSLContext:
        """The context for new connections, with the current client certificate. alpn: default http/1.1.

        Made once per generation and reused: loading a CA costs milliseconds.
        """
        generation = self.generation
        made = self._contexts.get(alpn)
        if made is None or made[0] != generation:
            context = make_client_context(self.ca, self.credential.certificate, alpn or ("http/1.1",))
            made = self._contexts[alpn] = (generation, context)
        return made[1]


def load_kubeconfig(path: Path, context: str | None = None, *, now: Clock = time.time) -> UpstreamCluster:
    """The cluster of a kubeconfig's context (None: the current one). Raises BadKubeconfig."""
    content = _read_file(path, "kubeconfig", str(path), most=MAX_KUBECONFIG_BYTES)
    access = parse_kubeconfig(content, path.absolute(), context)
    return _make_cluster(access, f"{path}: context {access.context!r}", now)


def load_in_cluster(directory: Path = SERVICE_ACCOUNT, *, now: Clock = time.time) -> UpstreamCluster:
    """The cluster this pod runs in, by its service account. Raises BadKubeconfig."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise BadKubeconfig(
            "in-cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is no pod: "
            "name a kubeconfig instead"
        )
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return from_flags(
        server, ca_file=directory / "ca.crt", token_file=directory / "token", where="in-cluster", now=now
    )


def from_flags(
    server: str,
    *,
    ca_file: Path | None = None,
    token_file: Path | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    where: str = "direct cluster",
    now: Clock = time.time,
) -> UpstreamCluster:
    """A cluster named by its URL and files. Raises BadKubeconfig. where: for messages."""
    host, port, authority, prefix = parse_server(server, where)
    if (client_cert is None) != (client_key is None):
        raise BadKubeconfig(f"{where}: a client certificate needs its key, and a key its certificate")
    if token_file is None and client_cert is None:
        raise BadKubeconfig(f"{where}: name a token file or a client certificate")
    user = UserAccess(token_file=token_file, certificate=client_cert, key=client_key)
    access = ClusterAccess(
        context="",
        server=server,
        host=host,
        port=port,
        authority=authority,
        path_prefix=prefix,
        server_name=host,
        ca=ca_file,
        user=user,
    )
    return _make_cluster(access, where, now)


def _make_cluster(access: ClusterAccess, where: str, now: Clock) -> UpstreamCluster:
    ca = access.ca
    if isinstance(ca, Path):
        ca = _read_file(ca, "certificate authority", where)
    plugin = access.user.plugin
    credential: Credential
    if plugin is not None:
        credential = ExecCredential(plugin, ca, now=now)
    else:
        credential = StoredCredential(access.user, where, now=now)
    cluster = UpstreamCluster(
        host=access.host,
        port=access.port,
        authority=access.authority,
        path_prefix=access.path_prefix,
        server_name=access.server_name,
        ca=ca,
        credential=credential,
    )
    try:
        cluster.ssl_context()  # tell now what would fail at the first call
    except UnusableTlsMaterial as error:
        raise BadKubeconfig(f"{where}: {error}") from error
    return cluster


def _read_file(path: Path, what: str, where: str, *, most: int = MAX_FILE_BYTES) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise BadKubeconfig(f"{where}: the {what} {path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise BadKubeconfig(f"{where}: the {what} {path} is larger than {most} bytes")
    return content


def parse_expiry(token: bytes) -> float | None:
    """`exp` of a token that is a JWT, in Unix seconds, unverified: only to know when ours is useless."""
    parts = token.split(b".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    return float(expiry) if isinstance(expiry, int | float) and not isinstance(expiry, bool) else None


def _show_time(unix_s: float) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))
    except (OverflowError, ValueError, OSError):
        return f"{unix_s:.0f}"

"""Options, kubeconfig, data directory -> where the management API is, and what proves us there.

The same kubeconfig that kubectl uses will do: its credential, exec plugins included, and its CA. Where the API is it
says in a cluster extension named `kubetape`; without one it is taken to be on the same host, port 8443. The trap: a
kubeconfig's credential is sent nowhere but where the kubeconfig, or the person who typed --server, says.
"""

import os
import ssl
from pathlib import Path
from typing import Final, NamedTuple

import trio

from gateway.cli.console.options import Named
from gateway.first_user import KUBECONFIG
from gateway.upstream.credentials import CredentialUnavailable, StoredCredential
from gateway.upstream.exec_plugin import PluginCredential, PluginFailed, run_plugin
from gateway.upstream.kubeconfig import (
    MAX_KUBECONFIG_BYTES,
    BadKubeconfig,
    ClusterAccess,
    UserAccess,
    parse_kubeconfig,
    parse_server,
)
from gateway.upstream.secret import Secret
from gateway.upstream.tls import ClientCertificate, UnusableTlsMaterial, make_client_context

DEFAULT_PORT: Final = 8443


class Access(NamedTuple):
    """Ready to connect. authorization: None where a client certificate says it all."""

    host: str
    port: int
    server_name: str
    context: ssl.SSLContext
    authorization: Secret | None


def open_access(named: Named) -> Access:
    """Raises BadKubeconfig, PluginFailed, CredentialUnavailable: nothing was sent to anybody."""
    cluster = None
    if named.server is None or named.token_file is None:
        cluster = _cluster(_kubeconfig_path(named), named.context)
    user = UserAccess(token_file=named.token_file) if named.token_file is not None else _user(cluster)
    server, where = _server(named, cluster)
    host, port, _, prefix = parse_server(server, where)
    if prefix:
        raise BadKubeconfig(f"{where}: the management API has no path in its URL: write https://HOST:PORT")
    ca = _ca(named, cluster, where)
    authorization, certificate = _credential(user, ca, where)
    try:
        context = make_client_context(ca, certificate)
    except UnusableTlsMaterial as error:
        raise BadKubeconfig(f"{where}: {error}") from error
    same_host = cluster is not None and host == cluster.host
    return Access(host, port, cluster.server_name if cluster and same_host else host, context, authorization)


def _kubeconfig_path(named: Named) -> Path:
    if named.data_dir is not None:
        return named.data_dir / KUBECONFIG
    if named.kubeconfig is not None:
        return named.kubeconfig
    listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return next((path for path in listed if path.exists()), Path.home() / ".kube" / "config")


def _cluster(path: Path, context: str | None) -> ClusterAccess:
    content = _read(path, "kubeconfig")
    return parse_kubeconfig(content, path.absolute(), context)


def _user(cluster: ClusterAccess | None) -> UserAccess:
    if cluster is None:
        raise AssertionError("without a token file a kubeconfig is read")
    return cluster.user


def _server(named: Named, cluster: ClusterAccess | None) -> tuple[str, str]:
    """The URL, and what to call it in messages."""
    if named.server is not None or cluster is None:
        return named.server or "", "--server"
    where = f"context {cluster.context!r}"
    host = f"[{cluster.host}]" if ":" in cluster.host else cluster.host
    return cluster.console or f"https://{host}:{DEFAULT_PORT}", where


def _ca(named: Named, cluster: ClusterAccess | None, where: str) -> bytes | None:
    if named.ca is not None:
        return _read(named.ca, f"{where}: CA file")
    ca = cluster.ca if cluster is not None else None
    return _read(ca, f"{where}: certificate authority") if isinstance(ca, Path) else ca


def _credential(
    user: UserAccess, ca: bytes | None, where: str
) -> tuple[Secret | None, ClientCertificate | None]:
    if user.plugin is None:
        stored = StoredCredential(user, where)
        header = stored.authorization()
        return (Secret(header) if header is not None else None), stored.certificate
    found: PluginCredential = trio.run(run_plugin, user.plugin, ca)
    token = Secret(b"Bearer " + found.token.reveal()) if found.token is not None else None
    if found.certificate is None or found.key is None:
        return token, None
    return token, ClientCertificate(found.certificate, found.key)


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KUBECONFIG_BYTES + 1)
    except OSError as error:
        raise BadKubeconfig(
            f"{what} {path} cannot be read: {error.strerror}; name the gateway by --kubeconfig FILE, --data-dir DIR, "
            "or --server URL with --token-file FILE"
        ) from error


UNUSABLE: Final = (BadKubeconfig, PluginFailed, CredentialUnavailable)
"""What `open_access` raises."""

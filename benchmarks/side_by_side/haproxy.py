"""HAProxy as a peer: TLS on both sides, http mode, one process of one thread, connections kept to the API server.

What the best proxy in C costs that neither records nor decides. It holds the cluster's credential as kubetape
does, so it asks its clients for a token of its own; both are in a private directory that goes with it.
"""

import contextlib
import ipaddress
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trustme

from benchmarks.http_client import BenchmarkFailed, Endpoint
from benchmarks.processes import START_TIMEOUT_S, stop
from gateway.upstream.credentials import UpstreamCluster

UNPACKED: Final = Path(__file__).parent.parent / ".cache" / "haproxy"
"""Where benchmarks/install leaves one that is not installed."""

_PLAIN_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/=:, -]+")
_CONFIGURATION: Final = """\
global
    maxconn 4096
    nbthread 1
    tune.ssl.default-dh-param 2048
defaults
    mode http
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    option http-keep-alive
    http-reuse always
frontend clients
    bind fd@{descriptor} ssl crt {directory}/front.pem alpn h2,http/1.1
    http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str "Bearer {token}" }}
    default_backend cluster
backend cluster
    http-request {authorization}
    http-request set-header Host {authority}
{prefix}    server api {host}:{port} ssl verify required ca-file {ca}{certificate}{name} alpn http/1.1
"""


def find_haproxy() -> str | None:
    """The program, None where there is none."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    return found or (str(UNPACKED) if UNPACKED.exists() else None)


def version_of(program: str) -> str:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else "unknown"


@contextlib.contextmanager
def running_haproxy(program: str, cluster: UpstreamCluster) -> Iterator[tuple[int, Endpoint, Path]]:
    """Yields its pid, its address as clients see it, and its CA's file."""
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-bench-haproxy-"))
        directory = Path(made)
        authority = trustme.CA(organization_name="kubetape bench: HAProxy")
        issued = authority.issue_cert("127.0.0.1", "localhost")
        (directory / "front.pem").write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        ca = directory / "ca.pem"
        ca.write_bytes(authority.cert_pem.bytes())
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        token = secrets.token_urlsafe(24)
        configuration = directory / "haproxy.cfg"
        configuration.write_text(_configure(cluster, directory, listener.fileno(), token))
        output = stack.enter_context((directory / "output").open("wb"))
        process = subprocess.Popen(
            [program, "-db", "-f", str(configuration)],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        stack.callback(stop, process)
        port = listener.getsockname()[1]
        context = _Contexts(ca)
        _wait_ready(process, port, context, directory / "output")
        yield (
            process.pid,
            Endpoint(
                "127.0.0.1",
                port,
                b"127.0.0.1:%d" % port,
                "127.0.0.1",
                b"Bearer " + token.encode(),
                context=context,
            ),
            ca,
        )


class _Contexts:
    """TLS for clients, made once per ALPN name: loading a CA costs milliseconds."""

    def __init__(self, ca: Path) -> None:
        self._ca = ca
        self._made: dict[str, ssl.SSLContext] = {}

    def __call__(self, alpn: str) -> ssl.SSLContext:
        if alpn not in self._made:
            self._made[alpn] = ssl.create_default_context(cafile=str(self._ca))
            self._made[alpn].set_alpn_protocols([alpn])
        return self._made[alpn]


def _configure(cluster: UpstreamCluster, directory: Path, descriptor: int, token: str) -> str:
    ca, certificate = "@system-ca", ""
    if cluster.ca is not None:
        (directory / "cluster-ca.pem").write_bytes(cluster.ca)
        ca = str(directory / "cluster-ca.pem")
    if (client := cluster.credential.certificate) is not None:
        path = directory / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(client.certificate + b"\n" + client.key.reveal())
        certificate = f" crt {path}"
    authorization = cluster.credential.authorization()
    if authorization is not None and not _PLAIN_TOKEN.fullmatch(authorization):
        raise BenchmarkFailed(
            "haproxy: the cluster's credential has characters its configuration cannot hold"
        )
    prefix = cluster.path_prefix.decode()
    return _CONFIGURATION.format(
        descriptor=descriptor,
        directory=directory,
        token=token,
        authorization=f'set-header Authorization "{authorization.decode()}"'
        if authorization
        else "del-header Authorization",
        authority=cluster.authority.decode(),
        prefix=f"    http-request set-path {prefix}%[path]\n" if prefix else "",
        host=cluster.host,
        port=cluster.port,
        ca=ca,
        certificate=certificate,
        name=_name_check(cluster.server_name),
    )


def _name_check(name: str) -> str:
    """HAProxy compares host names only: for an address, the chain up to the cluster's CA must do."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return ""
    return f" sni str({name}) verifyhost {name}"


def _wait_ready(process: "subprocess.Popen[bytes]", port: int, context: "_Contexts", output: Path) -> None:
    """Return once a handshake succeeds: the socket listens before the program does."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
            context("http/1.1").wrap_socket(sock, server_hostname="127.0.0.1").close()
            return
        time.sleep(0.02)
    lines = output.read_text(errors="replace").strip().splitlines()
    raise BenchmarkFailed(f"haproxy did not become ready: {lines[-1] if lines else os.strerror(0)}")

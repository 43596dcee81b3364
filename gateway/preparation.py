"""Settings -> what every process of a gateway begins with, before anything is opened or served. Blocking.

What is wrong with the settings is said here, in one line. A data directory and a certificate are made at the first
start; a supervisor does that once, then its children find them.
"""

import ssl
from pathlib import Path
from typing import NamedTuple

from gateway.config import BadConfig, Settings, check_settings, parse_address
from gateway.first_user import TOKENS_FILE, console_url, write_kubeconfig
from gateway.identity.authenticate import Authenticator
from gateway.identity.keys import IssuerKeys
from gateway.identity.tokens import StaticTokens
from gateway.server.names import HostNames, names_of_certificate
from gateway.server.tls import Certificate, ensure_certificate, is_loopback, server_context
from gateway.upstream.credentials import UpstreamCluster, from_flags, load_in_cluster, load_kubeconfig


class Preparation(NamedTuple):
    """Settings that were checked, and what they name."""

    settings: Settings
    data_dir: Path
    cluster: UpstreamCluster
    certificate: Certificate
    context: ssl.SSLContext

    @property
    def upstream(self) -> str:
        """The URL of the guarded API server."""
        return f"https://{self.cluster.host}:{self.cluster.port}"

    def host_names(self) -> HostNames:
        """Those of the certificate, those of the settings, and the address we listen on."""
        listen = self.settings.listen
        host, _ = parse_address(listen.data)
        return HostNames([*names_of_certificate(self.certificate.chain.read_bytes()), *listen.names, host])

    def write_kubeconfig(self, first_token: str, port: int, console_port: int) -> Path | None:
        """The first user's kubeconfig, for the ports that we listen on; None where there is no such user."""
        ca = self.certificate.ca
        if not first_token or ca is None:
            return None
        host, _ = parse_address(self.settings.listen.data)
        return write_kubeconfig(
            self.data_dir,
            first_token,
            server=f"https://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}",
            ca_file=ca,
            console=console_url(self.settings.console_address, console_port),
        )

    def authenticator(self) -> Authenticator:
        """Every way in that the settings know; without any, the tokens of the first user."""
        identity = self.settings.identity
        token_file = identity.token_file
        if not self.settings.has_identity:
            token_file = str(self.data_dir / TOKENS_FILE)
        return Authenticator(
            issuers=[IssuerKeys(issuer) for issuer in identity.issuers],
            tokens=StaticTokens(Path(token_file)) if token_file else None,
            certificates=identity.certificates,
        )


def prepare(settings: Settings) -> Preparation:
    """Check the settings, make the data directory and the certificate. Raises BadConfig, BadKubeconfig."""
    check_settings(settings)
    _check_observe_mode(settings)
    data_dir = _data_dir(settings)
    cluster = _load_cluster(settings)
    certificate = _certificate(settings, data_dir)
    context = server_context(certificate, client_ca=_client_ca(settings))
    return Preparation(settings, data_dir, cluster, certificate, context)


def _check_observe_mode(settings: Settings) -> None:
    """Without identity settings the only credential is a token in the data directory: loopback only."""
    host, _ = parse_address(settings.listen.data)
    if not settings.has_identity and not is_loopback(host):
        raise BadConfig(
            f"observe mode listens on loopback only, not on {host}: configure an issuer "
            "(--oidc-issuer URL --oidc-audience NAME), client certificates or a token file first"
        )


def _data_dir(settings: Settings) -> Path:
    directory = Path(settings.record.dir)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadConfig(
            f"cannot use the data directory {directory}: {error.strerror}; choose another --data-dir"
        ) from error
    return directory


def _load_cluster(settings: Settings) -> UpstreamCluster:
    cluster = settings.cluster
    if cluster.kubeconfig is not None:
        return load_kubeconfig(Path(cluster.kubeconfig.path), cluster.kubeconfig.context)
    if cluster.direct is not None:
        direct = cluster.direct
        return from_flags(
            direct.server,
            ca_file=_path(direct.ca_file),
            token_file=_path(direct.token_file),
            client_cert=_path(direct.client_certificate),
            client_key=_path(direct.client_key),
        )
    return load_in_cluster()


def _path(text: str | None) -> Path | None:
    return Path(text) if text is not None else None


def _certificate(settings: Settings, data_dir: Path) -> Certificate:
    files = settings.listen.tls
    if files is not None:
        return Certificate(Path(files.cert), Path(files.key), None)
    host, _ = parse_address(settings.listen.data)
    names = ["localhost", "127.0.0.1", "::1", *settings.listen.names]
    if host not in ("0.0.0.0", "::"):
        names.append(host)
    return ensure_certificate(data_dir / "tls", names)


def _client_ca(settings: Settings) -> Path | None:
    rules = settings.identity.certificates
    return Path(rules.ca_file) if rules else None

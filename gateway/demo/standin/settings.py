"""What a stand-in may be told, and what it hands out: identities, certificates, kubeconfigs.

A credential is a client certificate of our own toy CA (CN is the user, O the groups) or a bearer
token from the settings; nothing else is let in. Everything here is for loopback demos and tests.
"""

import base64
import hmac
import json
import secrets
import ssl
from pathlib import Path
from typing import Final

import msgspec
import trustme

from gateway.demo.standin.replies import Failure, JsonObject


class Identity(msgspec.Struct, frozen=True):
    """Who a credential stands for."""

    user: str
    groups: tuple[str, ...] = ()


ADMIN: Final = Identity("admin", ("system:masters",))


class StandinSettings(msgspec.Struct, frozen=True, kw_only=True):
    """directory: where ca.crt, admin.kubeconfig and seen.jsonl go; None: nowhere, nothing is recorded.

    tokens: bearer token -> identity, besides the admin token made at start.
    aggregated_discovery, websocket_v5, portforward_tunnel: off emulates servers older than 1.27, 1.30
    and 1.31; `minor` is what /version says.
    """

    directory: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    tokens: dict[str, Identity] = {}
    aggregated_discovery: bool = True
    websocket_v5: bool = True
    portforward_tunnel: bool = True
    minor: str = "36"


def old_server(settings: StandinSettings) -> StandinSettings:
    """The same, as a server of 1.20 answers."""
    return msgspec.structs.replace(
        settings, aggregated_discovery=False, websocket_v5=False, portforward_tunnel=False, minor="20"
    )


class Credentials:
    """A toy CA, the server's certificate, an admin's certificate and an admin's token, all new."""

    def __init__(self, settings: StandinSettings) -> None:
        self._authority = trustme.CA(organization_name="stand-in API server, not Kubernetes")
        self._server = self._authority.issue_cert("localhost", "127.0.0.1", "::1", settings.host)
        self.admin_token = "standin-" + secrets.token_urlsafe(24)
        self._tokens = dict(settings.tokens) | {self.admin_token: ADMIN}
        self.ca_pem = self._authority.cert_pem.bytes()

    def tls_context(self) -> ssl.SSLContext:
        """TLS 1.2 and up, client certificates asked for but not required, HTTP/1.1 only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        self._server.configure_cert(context)
        self._authority.configure_trust(context)
        return context

    def issue_client_certificate(self, identity: Identity) -> tuple[bytes, bytes]:
        """(certificate chain, private key), PEM, for an identity with at most one group."""
        issued = self._authority.issue_cert(
            common_name=identity.user, organization_name=identity.groups[0] if identity.groups else None
        )
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return chain, issued.private_key_pem.bytes()

    def identify(self, peer_certificate: JsonObject | None, authorization: bytes | None) -> Identity:
        """Who asks: by certificate, else by bearer token. Raises Failure 401."""
        if peer_certificate:
            subject = [pair for part in peer_certificate.get("subject", ()) for pair in part]
            users = [value for key, value in subject if key == "commonName"]
            if users:
                return Identity(users[0], tuple(value for key, value in subject if key == "organizationName"))
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() == b"bearer":
            for known, identity in self._tokens.items():
                if hmac.compare_digest(known.encode(), token):
                    return identity
        raise Failure(401, "Unauthorized", "Unauthorized")

    def kubeconfig(self, server: str, user: JsonObject) -> JsonObject:
        """A kubeconfig for one user entry, as JSON (which is YAML)."""
        cluster = {"server": server, "certificate-authority-data": base64.b64encode(self.ca_pem).decode()}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "standin", "cluster": cluster}],
            "users": [{"name": "standin", "user": user}],
            "contexts": [
                {
                    "name": "standin",
                    "context": {"cluster": "standin", "user": "standin", "namespace": "default"},
                }
            ],
            "current-context": "standin",
        }

    def write_files(self, directory: Path, server: str) -> None:
        """ca.crt, admin.kubeconfig (certificate) and admin-token.kubeconfig, readable by the owner only."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ca.crt").write_bytes(self.ca_pem)
        chain, key = self.issue_client_certificate(ADMIN)
        certificate_user = {
            "client-certificate-data": base64.b64encode(chain).decode(),
            "client-key-data": base64.b64encode(key).decode(),
        }
        for name, user in (
            ("admin.kubeconfig", certificate_user),
            ("admin-token.kubeconfig", {"token": self.admin_token}),
        ):
            path = directory / name
            path.touch(mode=0o600)
            path.chmod(0o600)
            path.write_text(json.dumps(self.kubeconfig(server, user), indent=2))

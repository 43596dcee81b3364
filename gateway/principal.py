"""Who asks: the verified identity behind a request, as policy, record and upstream see it."""

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """One verified identity. Only `gateway.identity` makes these.

    expires_ns: UTC nanoseconds after which the credential is no longer good; None: no end of its own.
    credential_id: 32 hex digits derived from the credential (never the credential): two tokens of one
    person differ here, so a session belongs to exactly one credential.
    """

    user: str
    groups: tuple[str, ...]
    method: str  # "oidc", "certificate" or "token"
    credential_id: str
    issuer: str = ""  # OIDC issuer URL; certificate: issuer name; token: the file's name
    subject: str = ""  # OIDC "sub"; certificate: serial number in hex
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    claims: dict[str, object] = {}
    expires_ns: int | None = None

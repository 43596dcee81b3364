"""What the operator decides about identity, as frozen structs. Decoded from YAML by the configuration.

Every rule that can be checked without the network is checked here, once, so that the code that serves
requests meets only sound settings. Raises ValueError, which msgspec reports with the place in the file.
"""

import re
from typing import Final

import msgspec

from gateway.identity.names import SYSTEM_PREFIX

ALGORITHMS: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
"""All we can be told to accept: asymmetric signatures only. HS* and none are not in it, on purpose."""

MAX_LEEWAY_S: Final = 60
MAX_AGE_LIMIT_S: Final = 31 * 24 * 3600

_HOST: Final = r"https://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
# OpenID Connect Discovery section 3: no query, no fragment. No escapes either: nothing to normalise.
_ISSUER_URL: Final = re.compile(_HOST + r"(?:/[A-Za-z0-9._~/-]*)?")
_FETCH_URL: Final = re.compile(_HOST + r"(?:[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")


def is_issuer_url(text: str) -> bool:
    """Whether this may be an issuer identifier: https, host, optional port and path, nothing else."""
    return len(text) <= 512 and _ISSUER_URL.fullmatch(text) is not None


def is_https_url(text: str) -> bool:
    """Whether this may be fetched: https without userinfo or fragment; a query is fine (Azure AD B2C)."""
    return len(text) <= 2048 and _FETCH_URL.fullmatch(text) is not None


class IssuerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One OpenID Connect issuer and how its tokens become names.

    Without a prefix, the names of an issuer are taken as they are; give one when several sources could
    use the same name. A final name beginning with "system:" refuses the token, so the tokens of
    Kubernetes service accounts need a username prefix.
    """

    url: str  # compared exactly with the token's "iss" and the discovery document's "issuer"
    audiences: tuple[str, ...]  # a token must name at least one of them
    authorized_parties: tuple[
        str, ...
    ] = ()  # accepted "azp" beside the audiences; if set, "azp" is checked always
    username_claim: str = "sub"  # with "email", a present "email_verified" must be true
    username_prefix: str = ""
    groups_claim: str = "groups"  # string or list of strings; an absent claim is no groups
    groups_prefix: str = ""
    required_claims: dict[str, str | bool | int] = {}  # claim -> the exact value it must have
    policy_claims: tuple[str, ...] = ()  # kept for policy even where the whole payload is too large to keep
    token_types: tuple[str, ...] = ("jwt",)  # "typ" header values; "at+jwt" admits RFC 9068 access tokens
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    ca_file: str | None = None  # PEM, replaces the system's roots for this issuer
    leeway_seconds: int = 30  # clock difference forgiven, both ways
    max_age_seconds: int = 24 * 3600  # longest lifetime a token may have been given

    def __post_init__(self) -> None:
        if not is_issuer_url(self.url):
            raise ValueError("url: an issuer is https://host[:port][/path], without query or fragment")
        if not self.audiences or not all(self.audiences):
            raise ValueError("audiences: at least one, none of them empty")
        unknown = sorted(set(self.algorithms) - ALGORITHMS)
        if unknown or not self.algorithms:
            raise ValueError(
                f"algorithms: {unknown or 'none'} not supported; choose from {sorted(ALGORITHMS)}"
            )
        if not 0 <= self.leeway_seconds <= MAX_LEEWAY_S:
            raise ValueError(f"leewaySeconds: 0 to {MAX_LEEWAY_S}")
        if not 60 <= self.max_age_seconds <= MAX_AGE_LIMIT_S:
            raise ValueError(f"maxAgeSeconds: 60 to {MAX_AGE_LIMIT_S}")
        if not self.username_claim:
            raise ValueError("usernameClaim: must not be empty")
        if not self.token_types or any(kind != kind.lower() or "/" in kind for kind in self.token_types):
            raise ValueError('tokenTypes: lower-case types without "application/", e.g. jwt, at+jwt')
        for prefix in (self.username_prefix, self.groups_prefix):
            if prefix.startswith(SYSTEM_PREFIX) or prefix != prefix.lstrip() or not prefix.isprintable():
                raise ValueError(f'a prefix is printable, without leading blank, and not "{SYSTEM_PREFIX}"')


class CertificateRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Client certificates: who signs them, and which reserved names that authority may give.

    ca_file: PEM; the TLS listener asks for a certificate and verifies its chain against exactly this.
    """

    ca_file: str
    allowed_system_names: tuple[str, ...] = ()  # exact user or group names, e.g. "system:masters"


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """All ways in. None of them configured means that nobody gets in."""

    issuers: tuple[IssuerSettings, ...] = ()
    certificates: CertificateRules | None = None
    token_file: str | None = None

    def __post_init__(self) -> None:
        urls = [issuer.url for issuer in self.issuers]
        if len(set(urls)) != len(urls):
            raise ValueError("issuers: the same url twice; give one entry all its audiences")

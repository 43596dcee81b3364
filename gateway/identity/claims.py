"""Verified payload + the issuer's settings -> Principal. Pure; the clock is an argument.

Believes only a payload whose signature has been verified. Anything missing, of another type or out of
range refuses the token: no value is converted, guessed or shortened. The trap: one that is absent must
never mean one that is kept, so an absent groups claim is no groups.
Source: OpenID Connect Core 1.0 section 3.1.3.7, RFC 7519 section 4.1, RFC 8725 section 3, and
kube-apiserver's OIDC authenticator for the names of claims and the "email_verified" rule.
"""

from typing import Final

import msgspec

from gateway.identity.errors import Unauthenticated
from gateway.identity.names import check_name
from gateway.identity.predecode import DecodedToken
from gateway.identity.settings import IssuerSettings
from gateway.principal import Principal

MAX_GROUPS: Final = 200
MAX_AUDIENCES: Final = 32
MAX_SUBJECT_BYTES: Final = 256
MAX_KEPT_CLAIMS_BYTES: Final = 4096
"""JSON bytes up to which the whole payload is kept for policy; beyond it only what the settings name."""
MAX_DATE: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second RFC 3339 can write."""
NS: Final = 1_000_000_000


def principal_from_claims(
    decoded: DecodedToken, settings: IssuerSettings, *, now_ns: int, credential_id: str
) -> Principal:
    """Who a token of this issuer speaks for. Raises Unauthenticated.

    decoded: with a verified signature. now_ns: UTC. `expires_ns` of the result includes the leeway: it is
    the moment from which this very function would refuse the token.
    """
    payload = decoded.payload
    _check_type(decoded, settings)
    if payload.get("iss") != settings.url:
        raise Unauthenticated("the token is from another issuer")
    _check_audience(payload, settings)
    expires_ns = _check_times(payload, settings, now_ns)
    subject = _text(payload, "sub")
    if len(subject.encode()) > MAX_SUBJECT_BYTES:
        raise Unauthenticated(f'the token\'s "sub" is longer than {MAX_SUBJECT_BYTES} bytes')
    _check_required(payload, settings)
    return Principal(
        user=_user(payload, settings),
        groups=_groups(payload, settings),
        method="oidc",
        credential_id=credential_id,
        issuer=settings.url,
        subject=subject,
        claims=_kept_claims(payload, settings),
        expires_ns=expires_ns,
    )


def _check_type(decoded: DecodedToken, settings: IssuerSettings) -> None:
    # RFC 8725 section 3.11. Many issuers leave "typ" out of ID tokens, so absence is no statement.
    if decoded.token_type and decoded.token_type not in settings.token_types:
        raise Unauthenticated("the token is of a type that is not accepted here", detail="see tokenTypes")
    # A logout token or another security event (RFC 8417) has our audience but is no login.
    if isinstance(decoded.payload.get("events"), dict):
        raise Unauthenticated("the token reports an event, it is not a login")


def _check_audience(payload: dict[str, object], settings: IssuerSettings) -> None:
    audience = payload.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(name, str) for name in audiences):
        raise Unauthenticated('the token\'s "aud" is not a string or a list of strings')
    if len(audiences) > MAX_AUDIENCES:
        raise Unauthenticated(f"the token has more than {MAX_AUDIENCES} audiences")
    if not set(audiences) & set(settings.audiences):
        raise Unauthenticated("the token is for another audience")
    party = payload.get("azp")
    if "azp" in payload and (not isinstance(party, str) or not party):
        raise Unauthenticated('the token\'s "azp" is not a string')
    # Several audiences: anyone of them could pass the token on, so who asked for it must be one of ours.
    if (len(audiences) > 1 or settings.authorized_parties) and party not in (
        *settings.audiences,
        *settings.authorized_parties,
    ):
        raise Unauthenticated("the token was issued to another party", detail='"azp"; see authorizedParties')


def _check_times(payload: dict[str, object], settings: IssuerSettings, now_ns: int) -> int:
    """When the token ends, leeway included, in nanoseconds."""
    expires_s = _date(payload, "exp")
    if expires_s is None:
        raise Unauthenticated('the token has no "exp": one that never ends is not accepted')
    leeway_ns = settings.leeway_seconds * NS
    expires_ns = expires_s * NS + leeway_ns
    if now_ns >= expires_ns:
        raise Unauthenticated("token expired")
    issued_s = _date(payload, "iat")
    for name, begins_s in (("nbf", _date(payload, "nbf")), ("iat", issued_s)):
        if begins_s is not None and begins_s * NS > now_ns + leeway_ns:
            raise Unauthenticated("the token is not valid yet", detail=f'"{name}" is in the future')
    begins_ns = now_ns if issued_s is None else issued_s * NS
    if expires_s * NS - begins_ns > settings.max_age_seconds * NS:
        raise Unauthenticated("the token lives longer than accepted here", detail="see maxAgeSeconds")
    return expires_ns


def _date(payload: dict[str, object], name: str) -> int | None:
    """A NumericDate in whole seconds; None if absent. RFC 7519 allows fractions, nobody sends them."""
    if name not in payload:
        return None
    value = payload[name]
    # bool is an int to Python: `"exp": true` would be one second after the epoch.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_DATE:
        raise Unauthenticated(f'the token\'s "{name}" is not a whole number of seconds')
    return value


def _check_required(payload: dict[str, object], settings: IssuerSettings) -> None:
    for name, wanted in settings.required_claims.items():
        value = payload.get(name)
        if type(value) is not type(wanted) or value != wanted:
            raise Unauthenticated("the token lacks a required claim", detail=f'"{name}"; see requiredClaims')


def _text(payload: dict[str, object], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not value:
        raise Unauthenticated(f'the token\'s "{name}" is missing, empty or not a string')
    return value


def _user(payload: dict[str, object], settings: IssuerSettings) -> str:
    name = _text(payload, settings.username_claim)
    # Exactly true, as kube-apiserver has it: an issuer that says anything else lets people pick addresses.
    if settings.username_claim == "email" and payload.get("email_verified", True) is not True:
        raise Unauthenticated("the token's e-mail address is not verified")
    return _prefixed(settings.username_prefix, name, "user name")


def _groups(payload: dict[str, object], settings: IssuerSettings) -> tuple[str, ...]:
    value = payload.get(settings.groups_claim) if settings.groups_claim else None
    if value is None:
        return ()
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        raise Unauthenticated("the token's groups are not a string or a list of strings")
    if len(names) > MAX_GROUPS:
        raise Unauthenticated(f"the token has more than {MAX_GROUPS} groups")
    groups: dict[str, None] = {}  # in order, each once
    for name in names:
        if not isinstance(name, str):
            raise Unauthenticated("the token's groups are not a string or a list of strings")
        groups[_prefixed(settings.groups_prefix, name, "group name")] = None
    return tuple(groups)


def _prefixed(prefix: str, name: str, what: str) -> str:
    if not name or name != name.strip():
        raise Unauthenticated(f"the token's {what} is empty or has outer blanks")
    return check_name(prefix + name, what)


def _kept_claims(payload: dict[str, object], settings: IssuerSettings) -> dict[str, object]:
    if len(msgspec.json.encode(payload)) <= MAX_KEPT_CLAIMS_BYTES:
        return payload
    named = {"iss", "sub", settings.username_claim, settings.groups_claim}
    named.update(settings.required_claims, settings.policy_claims)
    return {name: value for name, value in payload.items() if name in named}

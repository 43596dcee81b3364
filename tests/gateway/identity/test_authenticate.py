"""The door: exactly one credential, every rule in its order, and memory that ends when it should."""

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from gateway.identity import authenticate as module
from gateway.identity.authenticate import Authenticator, Unauthenticated
from gateway.identity.keys import IssuerKeys
from gateway.identity.settings import CertificateRules, IssuerSettings
from gateway.identity.tokens import StaticTokens, append_token
from gateway.principal import Principal
from protocol.events import Headers, RequestHead
from tests.gateway.identity.test_certificates import named
from tests.kit.issuer import (
    AUDIENCE,
    Fault,
    Issuer,
    SigningKey,
    b64,
    make_token,
    private_key,
    public_members,
    signature,
)

NS = 1_000_000_000


class Clock:
    """Wall clock of the tests, in nanoseconds."""

    def __init__(self) -> None:
        self.ns = time.time_ns()

    def __call__(self) -> int:
        return self.ns


class Door:
    """An Authenticator with everything behind it."""

    def __init__(self, tmp_path: Path) -> None:
        self.issuer = Issuer(algorithms=("RS256", "ES256", "EdDSA", "PS256"))
        self.settings = IssuerSettings(
            url=self.issuer.url,
            audiences=(AUDIENCE,),
            algorithms=("RS256", "ES256", "EdDSA", "PS256"),
            groups_prefix="g:",
        )
        self.keys = IssuerKeys(self.settings, fetch=self.issuer.fetch)
        self.token_file = tmp_path / "tokens.csv"
        self.static = append_token(self.token_file, "robot", ("ci",)).encode()
        self.clock = Clock()
        self.door = Authenticator(
            issuers=[self.keys],
            tokens=StaticTokens(self.token_file),
            certificates=CertificateRules(ca_file="ca.pem"),
            clock=self.clock,
        )

    async def enter(
        self,
        *headers: tuple[bytes, bytes],
        certificate: bytes | None = None,
        subprotocol: bytes | None = None,
    ) -> Principal:
        return await self.door.authenticate(
            head(*headers), peer_certificate_der=certificate, subprotocol_token=subprotocol
        )

    async def refused(self, token: bytes) -> Unauthenticated:
        """A token that must not get in, neither now nor by memory."""
        with pytest.raises(Unauthenticated) as caught:
            await self.enter(bearer(token))
        assert self.door.cached(head(bearer(token))) is None
        assert token.decode("latin-1") not in str(caught.value) or not token
        return caught.value


def head(*headers: tuple[bytes, bytes]) -> RequestHead:
    ordinary: Headers = ((b"user-agent", b"kubectl/v1.36.0"), (b"accept", b"application/json"))
    return RequestHead(b"GET", b"/api/v1/pods", b"gw", (*ordinary, *headers))


def bearer(token: bytes, scheme: bytes = b"Bearer") -> tuple[bytes, bytes]:
    return b"authorization", scheme + b" " + token


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    door = Door(tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(door.door.run)
        yield door
        nursery.cancel_scope.cancel()


# --- ways in ------------------------------------------------------------------------------------------


async def test_a_token_of_an_issuer_gets_in_and_is_remembered(door: Door) -> None:
    token = door.issuer.token(groups=["sre"])
    assert door.door.cached(head(bearer(token))) is None
    principal = await door.enter(bearer(token))
    assert (principal.user, principal.groups, principal.method, principal.issuer) == (
        "alice",
        ("g:sre",),
        "oidc",
        door.issuer.url,
    )
    assert re.fullmatch("[0-9a-f]{32}", principal.credential_id)
    assert door.door.cached(head(bearer(token))) is principal
    assert await door.enter(bearer(token)) is principal


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA", "PS256"])
async def test_every_configured_algorithm_gets_in(door: Door, algorithm: str) -> None:
    key = door.issuer.key(algorithm)
    for with_id in (True, False):
        token = door.issuer.token(key=key, header={} if with_id else {"kid": None, "typ": None})
        assert (await door.enter(bearer(token))).user == "alice"


async def test_a_static_token_gets_in_without_being_remembered(
    door: Door, autojump_clock: trio.testing.MockClock
) -> None:
    principal = await door.enter(bearer(door.static))
    assert (principal.user, principal.groups, principal.method) == ("robot", ("ci",), "token")
    assert door.door.cached(head(bearer(door.static))) == principal
    door.token_file.unlink()
    await trio.sleep(2)
    assert door.door.cached(head(bearer(door.static))) is None
    assert "not a signed JWT" in (await door.refused(door.static)).reason


async def test_a_token_given_out_a_moment_ago_counts_at_once(door: Door) -> None:
    token = append_token(door.token_file, "new").encode()
    assert door.door.cached(head(bearer(token))) is None
    assert (await door.enter(bearer(token))).user == "new"


async def test_a_certificate_gets_in_and_is_judged_again_when_it_ends(door: Door) -> None:
    door.clock.ns = 1_800_000_000 * NS
    principal = await door.enter(certificate=named("alice", "sre"))
    assert (principal.user, principal.groups, principal.method) == ("alice", ("sre",), "certificate")
    der = named("bob")
    first = await door.enter(certificate=der)
    assert await door.enter(certificate=der) is first
    assert first.expires_ns is not None
    door.clock.ns = first.expires_ns
    with pytest.raises(Unauthenticated, match="expired"):
        await door.enter(certificate=der)


async def test_the_bearer_subprotocol_gets_in(door: Door) -> None:
    assert (await door.enter(subprotocol=door.issuer.token())).user == "alice"
    assert (await door.enter(subprotocol=door.static)).user == "robot"


@pytest.mark.parametrize("token", [b"", b" ", b"a b", b"a\nb", b"\xff", b"Bearer x", b"=", b"a=b"])
async def test_a_subprotocol_without_token_does_not(door: Door, token: bytes) -> None:
    with pytest.raises(Unauthenticated, match="subprotocol"):
        await door.enter(subprotocol=token)


async def test_a_certificate_nobody_asked_for_is_no_credential(door: Door) -> None:
    door.door = Authenticator(issuers=[door.keys], clock=door.clock)
    with pytest.raises(Unauthenticated, match="no credential"):
        await door.enter(certificate=named("alice"))
    assert (await door.enter(bearer(door.issuer.token()), certificate=named("alice"))).method == "oidc"


async def test_with_static_tokens_alone_any_other_is_simply_not_known(door: Door) -> None:
    door.door = Authenticator(tokens=StaticTokens(door.token_file))
    assert (await door.enter(bearer(door.static))).user == "robot"
    for token in (door.issuer.token(), b"x", b"a.b.c", door.static[:-1], door.static + b"A"):
        assert (await door.refused(token)).reason == "the token is not known"
    assert "longer" in (await door.refused(b"x" * 20_000)).reason


async def test_without_any_way_in_nobody_gets_in() -> None:
    nobody = Authenticator()
    for headers in ((), (bearer(b"x"),), (bearer(Issuer().token()),)):
        with pytest.raises(Unauthenticated):
            await nobody.authenticate(head(*headers), peer_certificate_der=None, subprotocol_token=None)
        assert nobody.cached(head(*headers)) is None


# --- exactly one credential ---------------------------------------------------------------------------


async def test_no_credential_is_refused(door: Door) -> None:
    with pytest.raises(Unauthenticated, match="no credential"):
        await door.enter()


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
async def test_the_scheme_has_no_case(door: Door, scheme: bytes) -> None:
    token = door.issuer.token()
    assert (await door.enter(bearer(token, scheme))).user == "alice"
    assert door.door.cached(head(bearer(token, scheme))) is not None


@pytest.mark.parametrize(
    "value",
    [b"", b"Bearer", b"Bearer ", b"Bearer  ", b"Bearer\t{}", b"Bearer  {}", b"Bearer {} ", b"Bearer {} x", b"Bearer {},{}", b" Bearer {}",
     b"Basic {}", b"Basic YTpi", b"Digest {}", b"Negotiate {}", b"Token {}", b"{}", b"Bearer:{}", b"Bearer={}", b"Bearer{}", b"BearerX {}",
     b"Bearer Bearer {}", b"Basic YTpi, Bearer {}", b'Bearer "{}"', b"Bearer {}\0", b"Bearer {}\xff", b"Bearer {};", b"Bearer\xc2\xa0{}",
     b"Bearer =", b"Bearer null", b"Bearer undefined"],
)  # fmt: skip
async def test_any_other_authorization_header_is_refused(door: Door, value: bytes) -> None:
    for token in (door.issuer.token(), door.static):
        await door.enter(bearer(token))  # even if the token itself is known
        header = (b"authorization", value.replace(b"{}", token))
        assert door.door.cached(head(header)) is None
        with pytest.raises(Unauthenticated):
            await door.enter(header)


async def test_more_than_one_credential_is_refused_whichever_they_are(door: Door) -> None:
    token, certificate = door.issuer.token(), named("alice")
    known = bearer(token)
    await door.enter(known)
    for headers, der, subprotocol in (
        ((known, known), None, None),
        ((known, bearer(door.static)), None, None),
        ((known, (b"authorization", b"Basic YTpi")), None, None),
        (((b"authorization", b""), known), None, None),
        ((known,), None, token),
        ((known,), None, b""),
        ((known,), certificate, None),
        ((), certificate, token),
        ((known,), certificate, token),
        (((b"authorization", b""),), certificate, None),
        (((b"authorization", b"Basic YTpi"),), None, token),
    ):
        with pytest.raises(Unauthenticated) as caught:
            await door.enter(*headers, certificate=der, subprotocol=subprotocol)
        assert "more than one" in caught.value.reason
    assert door.door.cached(head(known, known)) is None


async def test_headers_that_claim_an_identity_are_not_one(door: Door) -> None:
    claims = (
        (b"x-remote-user", b"admin"), (b"x-remote-group", b"system:masters"), (b"x-forwarded-user", b"admin"),
        (b"x-forwarded-access-token", door.issuer.token()), (b"cookie", b"token=" + door.issuer.token()),
        (b"proxy-authorization", b"Bearer " + door.issuer.token()), (b"x-client-cert", b"admin"), (b"impersonate-user", b"admin"),
        (b"x-api-key", door.static),
    )  # fmt: skip
    for claim in claims:
        with pytest.raises(Unauthenticated, match="no credential"):
            await door.enter(claim)
        assert (await door.enter(claim, bearer(door.issuer.token()))).user == "alice"


# --- tokens that must not get in ----------------------------------------------------------------------


async def test_unsigned_and_symmetric_tokens_do_not_get_in(door: Door) -> None:
    jwk = json.dumps({"keys": [key.jwk() for key in door.issuer.keys]}).encode()
    for name in ("none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "hs256", ""):
        for kid in (None, "RS256-0", "ES256-0", "EdDSA-0"):
            header = {"alg": name, "typ": "JWT", **({"kid": kid} if kid else {})}
            forged = make_token(header, door.issuer.claims(), jwk, name if name.startswith("HS") else "none")
            await door.refused(forged)
            await door.refused(forged.rsplit(b".", 1)[0] + b".")


async def test_a_key_of_a_stranger_does_not_get_in_whatever_it_is_called(door: Door) -> None:
    for key in door.issuer.keys:
        stranger = SigningKey(key.kid, key.algorithm, private_key(key.algorithm, 99))
        assert "signature" in (await door.refused(door.issuer.token(key=stranger))).reason


async def test_a_token_never_brings_its_own_key(door: Door) -> None:
    stranger = SigningKey("mine", "RS256", private_key("RS256", 99))
    evil = door.issuer.url + "/evil"
    offers: list[dict[str, object]] = [
        {"jku": evil}, {"x5u": evil}, {"jwk": stranger.jwk()}, {"jwk": public_members(stranger.private)},
        {"x5c": ["MIIB"]}, {"jku": evil, "jwk": stranger.jwk(), "x5u": evil},
    ]  # fmt: skip
    for offer in offers:
        for kid in ("mine", "RS256-0", evil, None):
            await door.refused(door.issuer.token(key=stranger, header={"kid": kid, **offer}))
    assert set(door.issuer.hits) == {"/.well-known/openid-configuration", "/keys"}


@pytest.mark.parametrize(
    "kid",
    ["../../etc/passwd", "/dev/null", "RS256-0' OR '1'='1", "https://evil.test/key", "RS256-0\0", "RS256-0 ", "rs256-0", "%52S256-0",
     "${jndi:ldap://x}", "RS256-0\n", "\u212aS", "x" * 256],
)  # fmt: skip
async def test_a_key_id_is_only_ever_a_name(door: Door, kid: str) -> None:
    await door.refused(door.issuer.token(header={"kid": kid}))


async def test_an_algorithm_that_is_not_configured_does_not_get_in(door: Door) -> None:
    for algorithm in ("RS384", "RS512", "PS384", "ES384", "ES512"):
        key = SigningKey("RS256-0", algorithm, private_key(algorithm))
        assert "algorithm is not accepted" in (await door.refused(door.issuer.token(key=key))).reason
    assert not door.issuer.hits["/keys"] > 1, "and costs no fetch"


async def test_an_rsa_key_does_not_serve_another_padding(door: Door) -> None:
    """RS256-0 is for RS256 only, though the same RSA key could make a valid PS256 signature."""
    key = SigningKey("RS256-0", "PS256", door.issuer.key("RS256").private)
    assert "algorithm" in (await door.refused(door.issuer.token(key=key))).reason


async def test_wrong_claims_do_not_get_in(door: Door) -> None:
    now = door.clock.ns // NS
    wrong: list[dict[str, object]] = [
        {"iss": "https://evil.test"}, {"iss": door.issuer.url + "/"}, {"iss": 5}, {"iss": None}, {"iss": [door.issuer.url]},
        {"aud": "other"}, {"aud": []}, {"aud": None}, {"aud": [AUDIENCE, "other"]}, {"exp": None}, {"exp": now - 60},
        {"exp": str(now + 60)}, {"exp": now + 60.5}, {"exp": True}, {"nbf": now + 600}, {"iat": now + 600}, {"sub": None}, {"sub": ""},
        {"sub": "system:admin"}, {"groups": 5}, {"groups": [["x"]]}, {"exp": now + 10**8}, {"events": {"logout": {}}},
    ]  # fmt: skip
    for change in wrong:
        await door.refused(door.issuer.token(**change))
    for typ in ("at+jwt", "logout+jwt", "JWE"):
        await door.refused(door.issuer.token(header={"typ": typ}))


async def test_signed_but_ambiguous_json_does_not_get_in(door: Door) -> None:
    """The issuer itself signed these: only the pre-decoder stands between them and the door."""
    key = door.issuer.key("RS256")
    good = json.dumps(door.issuer.claims())
    header = b'{"alg":"RS256","kid":"RS256-0"}'
    assert (await door.enter(bearer(make_token(header, good.encode(), key.private, "RS256")))).user == "alice"
    for payload in (
        good.replace('"sub": "alice"', '"sub": "alice", "sub": "root"'),
        good.replace('"sub": "alice"', '"sub": "root", "\\u0073ub": "alice"'),
        good.replace('"alice"', '"\\ud800"'),
        good.replace('"exp": ', '"exp": 1e999, "x": '),
        good.replace('"exp": ', '"exp": NaN, "x": '),
        good.replace('"exp": ', '"exp": ' + "9" * 400 + ', "x": '),
        "\ufeff" + good,
        good + good,
    ):
        await door.refused(make_token(header, payload.encode(), key.private, "RS256"))
    for bad in (
        b'{"alg":"none","alg":"RS256","kid":"RS256-0"}',
        b'{"alg":"RS256","kid":"RS256-0","crit":["exp"],"exp":1}',
    ):
        await door.refused(make_token(bad, good.encode(), key.private, "RS256"))


async def test_no_second_spelling_of_a_good_token_gets_in(door: Door) -> None:
    token = door.issuer.token()
    await door.enter(bearer(token))
    for dot in [index for index, byte in enumerate(token) if byte == 46] + [len(token)]:
        for junk in (b"=", b"==", b"A", b"AAAA", b".", b"~", b"%3D"):
            await door.refused(token[:dot] + junk + token[dot:])
    for position in range(0, len(token), 7):
        await door.refused(
            token[:position]
            + (b"A" if token[position : position + 1] != b"A" else b"B")
            + token[position + 1 :]
        )


async def test_tokens_of_any_size_are_answered(door: Door) -> None:
    assert "longer" in (await door.refused(b"x" * (1024 * 1024))).reason
    assert "longer" in (await door.refused(door.issuer.token(filler="x" * 13_000))).reason
    assert (await door.enter(bearer(door.issuer.token(filler="x" * 11_000)))).user == "alice"


# --- memory -------------------------------------------------------------------------------------------


async def test_a_remembered_token_ends_when_it_expires(door: Door) -> None:
    token = door.issuer.token()
    principal = await door.enter(bearer(token))
    assert principal.expires_ns is not None
    door.clock.ns = principal.expires_ns - 1
    assert door.door.cached(head(bearer(token))) is principal
    door.clock.ns = principal.expires_ns
    assert door.door.cached(head(bearer(token))) is None
    assert (await door.refused(token)).reason == "token expired"


async def test_a_remembered_token_ends_with_its_key(
    door: Door, autojump_clock: trio.testing.MockClock
) -> None:
    token = door.issuer.token()
    await door.enter(bearer(token))
    door.issuer.rotate()
    await trio.sleep(700)
    assert "does not publish" in (await door.refused(token)).reason


async def test_a_token_signed_after_a_rotation_gets_in_at_once(door: Door) -> None:
    await door.enter(bearer(door.issuer.token()))
    door.issuer.rotate()
    assert (await door.enter(bearer(door.issuer.token()))).user == "alice"


async def test_forgetting_a_credential_means_verifying_it_again(door: Door) -> None:
    token, other = door.issuer.token(), door.issuer.token(sub="bob")
    principal = await door.enter(bearer(token))
    await door.enter(bearer(other))
    door.door.forget(principal.credential_id)
    assert door.door.cached(head(bearer(token))) is None
    assert door.door.cached(head(bearer(other))) is not None
    assert await door.enter(bearer(token)) == principal


async def test_memory_is_bounded_and_the_longest_unused_goes_first(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    tokens = [door.issuer.token(sub=f"user-{n}") for n in range(4)]
    for token in tokens[:3]:
        await door.enter(bearer(token))
    assert door.door.cached(head(bearer(tokens[0])))
    await door.enter(bearer(tokens[3]))
    assert [door.door.cached(head(bearer(token))) is not None for token in tokens] == [
        True,
        False,
        True,
        True,
    ]


async def test_a_refused_token_is_never_remembered(door: Door) -> None:
    token = door.issuer.token(aud="other")
    for _ in range(3):
        await door.refused(token)


async def test_a_second_valid_signature_is_not_a_second_credential(door: Door) -> None:
    """(r, n - s) is as valid as (r, s): whoever revokes a credential must hit both."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    key: Any = door.issuer.key("ES256")
    token = door.issuer.token(key=key)
    signed, _, sig = token.rpartition(b".")
    raw = signature("ES256", key.private, signed)
    twin = signed + b"." + b64(raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big"))
    assert twin != token
    assert len(sig) == 86
    assert (await door.enter(bearer(twin))).credential_id == (await door.enter(bearer(token))).credential_id


async def test_credential_ids_tell_credentials_apart_and_are_no_plain_hash(door: Door) -> None:
    import hashlib

    tokens = [door.issuer.token(jti=str(n)) for n in range(3)]
    ids = {(await door.enter(bearer(token))).credential_id for token in tokens}
    assert len(ids) == 3
    for token in tokens:
        digest = hashlib.sha256(token).hexdigest()
        assert not any(digest.startswith(known) for known in ids)


# --- issuers ------------------------------------------------------------------------------------------


async def test_keys_that_cannot_be_had_are_not_the_clients_fault(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    door = Door(tmp_path)
    door.issuer.fault = Fault.ERROR
    async with trio.open_nursery() as nursery:
        await nursery.start(door.door.run)
        error = await door.refused(door.issuer.token())
        assert error.unavailable
        assert "not available" in error.reason
        assert not (await door.refused(b"a.b.c")).unavailable
        assert (await door.enter(bearer(door.static))).user == "robot", "another way in does not suffer"
        door.issuer.fault = Fault.NONE
        await trio.sleep(30)
        assert (await door.enter(bearer(door.issuer.token()))).user == "alice"
        nursery.cancel_scope.cancel()


async def test_the_door_says_whose_keys_it_waits_for(autojump_clock: trio.testing.MockClock) -> None:
    away = Issuer(fault=Fault.ERROR)
    door = Authenticator(
        issuers=[IssuerKeys(IssuerSettings(url=away.url, audiences=("a",)), fetch=away.fetch)]
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(door.run)
        await trio.sleep(1.5)
        assert away.url in door.problem()
        away.fault = Fault.NONE
        await trio.sleep(30)
        assert door.problem() == ""
        nursery.cancel_scope.cancel()


async def test_issuers_do_not_vouch_for_each_other(autojump_clock: trio.testing.MockClock) -> None:
    first, second = Issuer("https://one.test"), Issuer("https://two.test")
    second.keys = [SigningKey(key.kid, key.algorithm, private_key(key.algorithm, 50)) for key in second.keys]
    keys = [
        IssuerKeys(IssuerSettings(url=issuer.url, audiences=(issuer.url + "/aud",)), fetch=issuer.fetch)
        for issuer in (first, second)
    ]
    door = Authenticator(issuers=keys)
    async with trio.open_nursery() as nursery:
        await nursery.start(door.run)

        async def enter(token: bytes) -> Principal:
            return await door.authenticate(
                head(bearer(token)), peer_certificate_der=None, subprotocol_token=None
            )

        for issuer in (first, second):
            assert (await enter(issuer.token(aud=issuer.url + "/aud"))).issuer == issuer.url
        for token in (
            first.token(iss=second.url, aud=second.url + "/aud"),
            second.token(iss=first.url, aud=first.url + "/aud"),
            first.token(aud=second.url + "/aud"),
        ):
            with pytest.raises(Unauthenticated):
                await enter(token)
        nursery.cancel_scope.cancel()

"""Tokens of a real OpenID Connect provider, got the way people and agents get them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from gateway.identity.authenticate import Authenticator, Unauthenticated
from gateway.identity.keys import IssuerKeys
from gateway.identity.settings import IssuerSettings
from gateway.principal import Principal
from protocol.events import RequestHead
from tests.kit.npm_issuer import NotInstalled, Provider, install, open_provider

pytestmark = [pytest.mark.slow, pytest.mark.clients]

ALGORITHMS = ("RS256", "ES256", "EdDSA")


@pytest.fixture(scope="module")
def installed() -> Path:
    try:
        return install()
    except NotInstalled as why:
        pytest.skip(f"no oidc-provider: {why}")


@pytest.fixture
async def provider(installed: Path, tmp_path: Path) -> AsyncIterator[Provider]:
    async with open_provider(installed, tmp_path) as provider:
        yield provider


@asynccontextmanager
async def opened(provider: Provider, *audiences: str, **settings: object) -> AsyncIterator[Authenticator]:
    issuer = IssuerSettings(
        url=provider.issuer,
        audiences=audiences or ("kubetape",),
        algorithms=ALGORITHMS,
        ca_file=provider.ca_file,
        **settings,  # type: ignore[arg-type]
    )
    door = Authenticator(issuers=[IssuerKeys(issuer)])
    async with trio.open_nursery() as nursery:
        await nursery.start(door.run)
        yield door
        nursery.cancel_scope.cancel()


async def enter(door: Authenticator, token: bytes) -> Principal:
    head = RequestHead(b"GET", b"/api", b"gw", ((b"authorization", b"Bearer " + token),))
    return await door.authenticate(head, peer_certificate_der=None, subprotocol_token=None)


async def test_a_person_logs_in_and_keeps_their_groups(provider: Provider) -> None:
    async with opened(provider, username_claim="email", groups_prefix="oidc:") as door:
        principal = await enter(door, await provider.id_token("alice"))
        assert (principal.user, principal.subject) == ("alice@example.com", "alice")
        assert principal.groups == ("oidc:sre", "oidc:dev")
        assert principal.issuer == provider.issuer
        with pytest.raises(Unauthenticated, match="not verified"):
            await enter(door, await provider.id_token("mallory"))


@pytest.mark.parametrize("client", ["kubetape", "kubetape-ec", "kubetape-ed"])
async def test_each_signature_algorithm_of_the_provider_is_understood(
    provider: Provider, client: str
) -> None:
    async with opened(provider, client) as door:
        assert (await enter(door, await provider.id_token("alice", client=client))).user == "alice"


async def test_groups_that_were_not_asked_for_are_no_groups(provider: Provider) -> None:
    async with opened(provider) as door:
        assert (await enter(door, await provider.id_token("alice", scope="openid"))).groups == ()


async def test_a_token_for_another_client_does_not_get_in(provider: Provider) -> None:
    async with opened(provider) as door:
        with pytest.raises(Unauthenticated, match="another audience"):
            await enter(door, await provider.id_token("alice", client="kubetape-ec"))


async def test_an_access_token_gets_in_only_where_that_is_configured(provider: Provider) -> None:
    token = await provider.access_token()
    async with opened(provider) as door:
        with pytest.raises(Unauthenticated, match="type"):
            await enter(door, token)
    async with opened(provider, token_types=("jwt", "at+jwt")) as door:
        principal = await enter(door, token)
        assert (principal.user, principal.groups) == ("agent-7", ())


async def test_after_a_rotation_new_tokens_get_in_at_once_and_old_ones_no_more(provider: Provider) -> None:
    async with opened(provider) as door:
        old = await provider.id_token("alice")
        assert (await enter(door, old)).user == "alice"
        await provider.rotate()
        assert (await enter(door, await provider.id_token("bob"))).user == "bob"
        with pytest.raises(Unauthenticated, match="does not publish"):
            await enter(door, old)

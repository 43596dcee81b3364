"""S4: a credential or a request meant for another cluster (CVE-2026-44945; Teleport 10.3.15): one gateway guards
one cluster, its tokens name it, and a request for another host is nobody's."""

from functools import partial
from pathlib import Path

import msgspec
import pytest

from gateway import preparation
from gateway.config import Settings
from gateway.identity.keys import IssuerKeys
from gateway.identity.settings import IdentitySettings, IssuerSettings
from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.h2 import open_h2_wire
from tests.kit.gateway_rig import Rig
from tests.kit.issuer import AUDIENCE, Issuer

PODS = b"/api/v1/namespaces/default/pods"
ISSUER = Issuer(algorithms=("ES256",))


def trust_the_issuer(settings: Settings) -> Settings:
    issuer = IssuerSettings(url=ISSUER.url, audiences=(AUDIENCE,))
    return msgspec.structs.replace(settings, identity=IdentitySettings(issuers=(issuer,)))


def without_network(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(preparation, "IssuerKeys", partial(IssuerKeys, fetch=ISSUER.fetch))


@attack(change=trust_the_issuer, prepare=without_network)
async def use_a_token_of_another_cluster(rig: Rig) -> None:
    good = await answer_to(rig, rig.request(b"GET", PODS, token=ISSUER.token()))
    assert good is not None
    assert good.status == 200
    for audience in ("other-cluster", ["other-cluster"], ["a", "b"], "", "KUBETAPE", "kubetape ", None):
        response = await answer_to(rig, rig.request(b"GET", PODS, token=ISSUER.token(aud=audience)))
        assert response is not None
        assert response.status == 401, "a token for another cluster was good here"
    assert len(rig.orc.requests) == 1
    await recorded(rig)


@attack()
async def ask_for_another_host(rig: Rig) -> None:
    for host in (b"other.example", b"other.example:443", b"kubernetes.default.svc", b"127.0.0.2", b"[::2]"):
        wire = rig.request(b"GET", PODS).replace(b"Host: " + rig.host, b"Host: " + host)
        response = await answer_to(rig, wire)
        assert response is not None
        assert response.status == 421, "a request for another cluster was sent to this one"
    assert rig.orc.requests == []
    await recorded(rig)


@attack()
async def reuse_one_http_2_connection_for_another_host(rig: Rig) -> None:
    async with open_h2_wire(rig) as client:
        assert await client.ask(client.head(b"GET", PODS)) == 200
        status = await client.ask(client.head(b"GET", PODS, authority=b"other.example"))
        assert status == 421, "a request for another cluster was sent to this one"
    assert len(rig.orc.requests) == 1
    await recorded(rig)


async def test_S04_a_token_for_another_cluster_is_none(tmp_path: Path) -> None:
    await use_a_token_of_another_cluster.against(tmp_path)


async def test_S04_a_request_for_another_host_is_misdirected(tmp_path: Path) -> None:
    await ask_for_another_host.against(tmp_path)


async def test_S04_also_on_a_connection_that_was_good_before(tmp_path: Path) -> None:
    await reuse_one_http_2_connection_for_another_host.against(tmp_path)

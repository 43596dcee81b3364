"""Which hosts we answer for."""

import pytest
import trustme

from gateway.server.names import MAX_KNOWN, HostNames, names_of_certificate

NAMES = HostNames(["gw.example.com", "*.eu.example.com", "127.0.0.1", "::1"])


@pytest.mark.parametrize(
    "authority",
    [b"gw.example.com", b"gw.example.com:6443", b"gw.example.com.", b"a.eu.example.com:1", b"127.0.0.1:7", b"[::1]:6443",
     b"[0:0:0:0:0:0:0:1]"],
)  # fmt: skip
def test_our_names_are_accepted_on_any_port(authority: bytes) -> None:
    assert NAMES.accept(authority)


@pytest.mark.parametrize(
    "authority",
    [
        b"evil.example.com",
        b"a.b.eu.example.com",
        b"eu.example.com",
        b"127.0.0.2",
        b"[::2]:6443",
        b"localhost",
    ],
)
def test_every_other_name_is_not_ours(authority: bytes) -> None:
    assert not NAMES.accept(authority)


def test_names_are_read_from_the_certificate() -> None:
    leaf = trustme.CA().issue_cert("gw.example.com", "*.eu.example.com", "10.0.0.1")
    assert names_of_certificate(leaf.cert_chain_pems[0].bytes()) == [
        "gw.example.com",
        "*.eu.example.com",
        "10.0.0.1",
    ]


@pytest.mark.parametrize(
    "origin", [b"https://gw.example.com", b"HTTPS://GW.example.com:6443", b"http://[::1]:8"]
)
def test_an_origin_on_one_of_our_names_is_ours(origin: bytes) -> None:
    assert NAMES.accept_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        b"",
        b"null",
        b"gw.example.com",
        b"https://gw.example.com/path",
        b"https://gw.example.com https://evil.example.com",
        b"https://u@gw.example.com",
        b"chrome-extension://gw.example.com",
        b"https://evil.example.com",
    ],
)
def test_any_other_origin_is_not(origin: bytes) -> None:
    assert not NAMES.accept_origin(origin)


def test_a_host_of_somebody_else_is_refused_each_time_whoever_was_accepted_before() -> None:
    names = HostNames(["gw.example.com"])
    for _ in range(2):
        assert names.accept(b"gw.example.com:1")
        assert not names.accept(b"gw.example.com.evil.com:1")


def test_names_below_a_wildcard_fill_no_memory() -> None:
    names = HostNames(["*.example.com"])
    for number in range(3 * MAX_KNOWN):
        assert names.accept(b"a%d.example.com" % number)
    assert len(names._known) <= MAX_KNOWN

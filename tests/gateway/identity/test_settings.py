"""Settings that serve no request are refused when they are read."""

import msgspec
import pytest

from gateway.identity.settings import (
    CertificateRules,
    IdentitySettings,
    IssuerSettings,
    is_https_url,
    is_issuer_url,
)

GOOD: dict[str, object] = {"url": "https://idp.example.com", "audiences": ["kubetape"]}


def test_two_keys_are_enough() -> None:
    settings = msgspec.convert(GOOD, IssuerSettings)
    assert settings.audiences == ("kubetape",)
    assert settings.algorithms == ("RS256", "ES256")
    assert settings.token_types == ("jwt",)
    assert (settings.leeway_seconds, settings.max_age_seconds) == (30, 86400)


def test_keys_are_camel_case_as_in_the_rest_of_the_configuration() -> None:
    text = {
        **GOOD,
        "usernameClaim": "email",
        "groupsPrefix": "o:",
        "leewaySeconds": 5,
        "requiredClaims": {"hd": "x", "mfa": True},
    }
    settings = msgspec.convert(text, IssuerSettings)
    assert (settings.username_claim, settings.groups_prefix, settings.leeway_seconds) == ("email", "o:", 5)
    assert settings.required_claims == {"hd": "x", "mfa": True}


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://idp.example.com"},
        {"url": "https://"},
        {"url": "idp.example.com"},
        {"url": "https://idp.example.com?x=1"},
        {"url": "https://idp.example.com#x"},
        {"url": "https://user:pw@idp.example.com"},
        {"url": "https://idp.example.com/%2e%2e"},
        {"url": "https://idp.example.com\n"},
        {"url": "https://idp.example.com /x"},
        {"url": "https://" + "a" * 520},
        {"audiences": []},
        {"audiences": [""]},
        {"audiences": "kubetape"},
        {"algorithms": []},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"algorithms": ["RS256", "ES256K"]},
        {"leewaySeconds": 61},
        {"leewaySeconds": -1},
        {"maxAgeSeconds": 59},
        {"maxAgeSeconds": 10**9},
        {"usernameClaim": ""},
        {"usernamePrefix": "system:"},
        {"usernamePrefix": "system:serviceaccount:"},
        {"groupsPrefix": "system:x"},
        {"groupsPrefix": " o:"},
        {"groupsPrefix": "o\n"},
        {"tokenTypes": []},
        {"tokenTypes": ["JWT"]},
        {"tokenTypes": ["application/jwt"]},
        {"user_claim": "x"},
        {"usernamClaim": "x"},
    ],
)
def test_unsound_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**GOOD, **change}, IssuerSettings)


def test_one_issuer_is_configured_once() -> None:
    msgspec.convert({"issuers": [GOOD, {**GOOD, "url": "https://idp.example.com/"}]}, IdentitySettings)
    with pytest.raises(msgspec.ValidationError, match="twice"):
        msgspec.convert({"issuers": [GOOD, GOOD]}, IdentitySettings)


def test_certificates_and_token_file_are_optional() -> None:
    settings = msgspec.convert(
        {
            "certificates": {"caFile": "ca.pem", "allowedSystemNames": ["system:masters"]},
            "tokenFile": "t.csv",
        },
        IdentitySettings,
    )
    assert settings.certificates == CertificateRules(
        ca_file="ca.pem", allowed_system_names=("system:masters",)
    )
    assert settings.token_file == "t.csv"
    assert IdentitySettings() == IdentitySettings(issuers=(), certificates=None, token_file=None)


@pytest.mark.parametrize(
    ("url", "issuer", "fetchable"),
    [
        ("https://a", True, True),
        ("https://a.example:8443/x/y", True, True),
        ("https://[::1]:443/x", True, True),
        ("https://a/keys?p=b2c_policy", False, True),
        ("https://a?x", False, True),
        ("https://a/x#f", False, False),
        ("https://a@b/x", False, False),
        ("http://a/x", False, False),
        ("https://a/x y", False, False),
        ("https://a/x\r\nHost: b", False, False),
        ("HTTPS://a", False, False),
        ("https://a:port", False, False),
        ("file:///etc/passwd", False, False),
        ("https://a/" + "x" * 3000, False, False),
    ],
)
def test_urls_are_judged_without_interpretation(url: str, issuer: bool, fetchable: bool) -> None:
    assert (is_issuer_url(url), is_https_url(url)) == (issuer, fetchable)

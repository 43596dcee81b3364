"""Detectors: what each one hides and leaves, and patterns of a policy file that are refused."""

from collections import Counter

import pytest

from gateway.policy.masking.detectors import NAMES, DetectorSet
from gateway.policy.model import CustomDetector

JWT = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
SERVICE_ACCOUNT_JWT = (
    b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6cHJvZDpkZWZhdWx0In0.c2lnbmF0dXJl"
)
PEM = b"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabcd==\n-----END RSA PRIVATE KEY-----"


def masked(text: bytes, *names: str, custom: tuple[CustomDetector, ...] = ()) -> bytes:
    hidden, _ = DetectorSet(names or NAMES, custom).mask(text, lambda name: b"<" + name.encode() + b">")
    return hidden


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("private-key", PEM + b"\nrest", b"<private-key>\nrest"),
        ("private-key", PEM.replace(b"\n", b"\\n") + b'"}', b'<private-key>"}'),
        ("private-key", PEM.replace(b"RSA ", b"OPENSSH "), b"<private-key>"),
        ("private-key", PEM.replace(b"RSA ", b""), b"<private-key>"),
        (
            "private-key",
            PEM[:50] + b"\n\nthe key was cut.",
            b"<private-key>.",
        ),
        ("private-key", b"data: LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUU= #", b"data: <private-key> #"),
        ("private-key", b"-----BEGIN CERTIFICATE-----\nMIIE", b"-----BEGIN CERTIFICATE-----\nMIIE"),
        ("aws-key", b"id AKIAIOSFODNN7EXAMPLE.", b"id <aws-key>."),
        ("aws-key", b"key_ASIAIOSFODNN7EXAMPLE", b"key_<aws-key>"),
        ("aws-key", b"xAKIAIOSFODNN7EXAMPLE", b"xAKIAIOSFODNN7EXAMPLE"),
        (
            "aws-key",
            b'"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",',
            b'"SecretAccessKey": "<aws-key>",',
        ),
        ("gcp-key", b"AIzaSyA-1234567890abcdefghijklmnopqrstuv", b"<gcp-key>"),
        ("gcp-key", rb'{"private_key_id": "0123456789abcdef0123"}', b'{"private_key_id": "<gcp-key>"}'),
        ("gcp-key", rb"{\"private_key\":\"MII\\nE\"}", rb"{\"private_key\":\"<gcp-key>\"}"),
        (
            "azure-key",
            b"AccountName=a;AccountKey=" + b"Ab1+" * 21 + b"Ab==;EndpointSuffix=core",
            b"AccountName=a;AccountKey=<azure-key>;EndpointSuffix=core",
        ),
        (
            "azure-key",
            b"https://a/b?sv=1&sig=" + b"a1%2B" * 9 + b"&se=2",
            b"https://a/b?sv=1&sig=<azure-key>&se=2",
        ),
        ("github-token", b"ghp_" + b"a1" * 18 + b" ok", b"<github-token> ok"),
        ("slack-token", b"xoxb-1234567890-abcdef", b"<slack-token>"),
        (
            "slack-token",
            b"https://hooks.slack.com/services/T0/B0/abcdefghijklmnop",
            b"https://hooks.slack.com/services/<slack-token>",
        ),
        ("jwt", b"t=" + JWT + b";", b"t=<jwt>;"),
        ("jwt", b"eyJub3QganNvbg.abc.def", b"eyJub3QganNvbg.abc.def"),
        ("card", b"4111 1111 1111 1111 2026", b"<card> 2026"),
        ("card", b"378282246310005,5555-5555-5555-4444", b"<card>,<card>"),
        ("email", b"<alice.b+c@mail.example.com>.", b"<<email>>."),
        ("iban", b"to GB82 WEST 1234 5698 7654 32 AND", b"to <iban> AND"),
        ("iban", b"DE89370400440532013000", b"<iban>"),
        ("bearer", b"Authorization: Bearer abc", b"Authorization: Bearer <bearer>"),
        ("bearer", b'{"authorization":"basic Zm9v"}', b'{"authorization":"basic <bearer>"}'),
        ("bearer", b"-H bearer 0123456789abcdef", b"-H bearer <bearer>"),
        ("bearer", b"bearer authentication-required", b"bearer authentication-required"),
        ("basic-auth-url", b"postgres://u:p@ss@db:5432/x", b"postgres://u:<basic-auth-url>@db:5432/x"),
        ("basic-auth-url", b"http://db:5432/a@b", b"http://db:5432/a@b"),
        ("k8s-token", b"join 07401b.f395accd246ae52d ok", b"join <k8s-token> ok"),
        ("k8s-token", b"token: abcdef.abcdefghijklmnop", b"token: <k8s-token>"),
        ("k8s-token", b"images.authoritativexyz", b"images.authoritativexyz"),
        ("k8s-token", b"07401b.f395accd246ae52d.example", b"07401b.f395accd246ae52d.example"),
        ("k8s-token", SERVICE_ACCOUNT_JWT, b"<k8s-token>"),
        ("k8s-token", JWT, JWT),
    ],
)
def test_a_detector_hides_its_secrets_and_nothing_else(name: str, text: bytes, expected: bytes) -> None:
    assert masked(text, name) == expected


def test_hits_are_counted_by_detector() -> None:
    _, counts = DetectorSet(NAMES).mask(b"a@b.example c@d.example " + JWT, lambda _: b"*")
    assert counts == Counter({"email": 2, "jwt": 1})


def test_overlapping_hits_are_one_hit_under_the_first_name() -> None:
    assert masked(SERVICE_ACCOUNT_JWT, "k8s-token", "jwt") == b"<k8s-token>"
    assert masked(b"Authorization: Bearer " + JWT, "bearer", "jwt") == b"Authorization: Bearer <bearer>"


def test_bytes_that_are_no_text_pass_untouched() -> None:
    noise = bytes(range(256)) * 4
    assert masked(noise) == noise


def test_a_set_without_detectors_hides_nothing() -> None:
    assert not DetectorSet(()).finds(JWT)
    assert DetectorSet(("jwt",)).finds(JWT)


def test_a_custom_pattern_hides_its_group() -> None:
    own = CustomDetector("pin", r"pin=(\d{4})", group=1)
    assert masked(b"user=1 pin=1234;", "pin", custom=(own,)) == b"user=1 pin=<pin>;"


def test_a_custom_pattern_is_matched_line_by_line() -> None:
    own = CustomDetector("line", r"^secret[^x]*$")
    assert masked(b"a\nsecret one\ntwo", "line", custom=(own,)) == b"a\n<line>\ntwo"


def test_an_empty_match_hides_nothing() -> None:
    assert masked(b"abc", "edge", custom=(CustomDetector("edge", r"\b"),)) == b"abc"


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (CustomDetector("p", "(a"), "not RE2: missing \\)"),
        (CustomDetector("p", "a)(b"), "not RE2"),
        (CustomDetector("p", r"(a)\1"), "not RE2"),
        (CustomDetector("p", "a{1000}{1000}"), "not RE2"),
        (CustomDetector("p", "a*"), "matches the empty text"),
        (CustomDetector("p", "a" * 1025), "longer than 1024 bytes"),
        (CustomDetector("p", r"\Aa"), "use \\^ or \\$"),
        (CustomDetector("p", "a", group=1), "hides group 1, but its pattern has 0"),
        (CustomDetector("p", "a", group=-1), "hides group -1"),
        (CustomDetector("jwt", "a"), "built in"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(detector: CustomDetector, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DetectorSet((detector.name,), (detector,))


def test_an_unknown_detector_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ValueError, match=r"no detector is called 'visa'; built in are: private-key, aws-key"):
        DetectorSet(("visa",))


def test_patterns_that_are_too_large_together_are_refused() -> None:
    large = tuple(CustomDetector(f"p{n}", rf"{n}(?:[a-z]{{1,900}}[0-9]{{1,90}})x") for n in range(400))
    with pytest.raises(ValueError, match="together are too large"):
        DetectorSet(tuple(detector.name for detector in large), large)


def test_a_group_that_took_no_part_hides_nothing() -> None:
    detectors = DetectorSet(("own",), [CustomDetector("own", "a(b)?c", 1)])
    assert detectors.hits(b"ac abc") == [(4, 5, "own")]

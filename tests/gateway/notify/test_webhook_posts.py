"""One signed attempt over a real socket; what cannot be signed is not sent."""

import hashlib
import hmac
from pathlib import Path

import pytest

from gateway.notify.deliveries import Parcel
from gateway.notify.settings import WebhookSettings
from gateway.notify.signature import sign
from gateway.notify.webhook_posts import WebhookPosts
from tests.kit.webhook_server import webhook_server

SECRET = b"0123456789abcdef"
PARCEL = Parcel("hold.requested/01K0000000AAAAAAAA11111111", "hold.requested", 0, b'{"kind":"Notice"}')


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    return path


def test_a_signature_is_what_it_says() -> None:
    expected = hmac.new(SECRET, b"1700000000.body", hashlib.sha256).hexdigest()
    assert sign(SECRET, 1_700_000_000, b"body") == f"v1={expected}"


def test_a_notice_arrives_signed(secret_file: Path) -> None:
    with webhook_server() as receiver:
        posts = WebhookPosts(WebhookSettings(receiver.url, str(secret_file)), lambda: 1_700_000_000.7)
        assert posts.post(PARCEL).status == 200
        posts.close()
        (received,) = receiver.received
    assert received.body == PARCEL.body
    assert received.headers["kubetape-delivery"] == PARCEL.id
    assert received.headers["kubetape-event"] == "hold.requested"
    assert received.headers["kubetape-timestamp"] == "1700000000"
    assert received.headers["kubetape-signature"] == sign(SECRET, 1_700_000_000, PARCEL.body)
    assert received.headers["content-type"] == "application/json"


def test_a_rotated_secret_counts_at_once(secret_file: Path) -> None:
    with webhook_server() as receiver:
        posts = WebhookPosts(WebhookSettings(receiver.url, str(secret_file)), lambda: 1_700_000_000)
        posts.post(PARCEL)
        secret_file.write_bytes(b"another secret of some length")
        posts.post(PARCEL)
        posts.close()
        first, second = receiver.received
    assert first.headers["kubetape-signature"] != second.headers["kubetape-signature"]


@pytest.mark.parametrize("content", [None, b"", b"short", b"x" * 5000])
def test_without_a_good_secret_nothing_is_sent(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with webhook_server() as receiver:
        posts = WebhookPosts(WebhookSettings(receiver.url, str(path)))
        answer = posts.post(PARCEL)
        assert answer.status == 0
        assert f"secret file {path}" in answer.excerpt
        assert receiver.received == []


def test_redirects_are_not_followed(secret_file: Path) -> None:
    with webhook_server((302, {"location": "http://127.0.0.1:9/"}, b"")) as receiver:
        posts = WebhookPosts(WebhookSettings(receiver.url, str(secret_file)))
        assert posts.post(PARCEL).status == 302
        posts.close()


def test_an_absent_receiver_is_said_in_words(secret_file: Path) -> None:
    posts = WebhookPosts(WebhookSettings("http://127.0.0.1:9/", str(secret_file)))
    answer = posts.post(PARCEL)
    posts.close()
    assert answer.status == 0
    assert "ConnectionRefusedError" in answer.excerpt


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://169.254.169.254/latest",
        "https://[fd00:ec2::254]/",
        "https://user@hooks.example.com/",
        "ftp://127.0.0.1/",
        "https://0xA9FEA9FE/",
    ],
)
def test_a_receiver_that_is_no_place_for_notices_is_no_setting(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        WebhookSettings(url, "secret")


def test_events_are_chosen_among_those_there_are() -> None:
    assert WebhookSettings("https://h.example/", "s", events=("revoked",)).events == ("revoked",)
    for events in (("hold",), ()):
        with pytest.raises(ValueError, match=r"hold\.requested, hold\.decided"):
            WebhookSettings("https://h.example/", "s", events=events)
    with pytest.raises(ValueError, match="secretFile"):
        WebhookSettings("https://h.example/", "")

"""docs/approvals.md keeps its word: its verifier verifies, its policy loads, its table of routes is the one served."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config import parse_settings
from gateway.console.routes import ROUTES
from gateway.notify.deliveries import Parcel
from gateway.notify.settings import EVENTS, WebhookSettings
from gateway.notify.webhook_posts import WebhookPosts
from gateway.policy.load import load_policy
from gateway.policy.testing import run_tests
from tests.kit.webhook_server import webhook_server

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "approvals.md").read_text()
SECRET = b"a secret of some length"


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def verify() -> Callable[[dict[str, str], bytes, bytes], bool]:
    code = block("python")
    assert set(re.findall(r"^import (\w+)$", code, re.MULTILINE)) == {"hashlib", "hmac", "time"}
    names: dict[str, Any] = {}
    exec(code, names)
    found: Callable[[dict[str, str], bytes, bytes], bool] = names["is_ours"]
    return found


def delivered(tmp_path: Path, clock_s: Callable[[], float] = time.time) -> tuple[dict[str, str], bytes]:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    with webhook_server() as receiver:
        posts = WebhookPosts(WebhookSettings(receiver.url, str(tmp_path / "secret")), clock_s)
        posts.post(Parcel("hold.requested/X", "hold.requested", 0, b'{"kind":"Notice"}'))
        posts.close()
        return receiver.received[0]


def test_the_verifier_takes_what_we_send(tmp_path: Path, verify: Callable[..., bool]) -> None:
    headers, body = delivered(tmp_path)
    assert verify(headers, body, SECRET)


def test_it_refuses_what_was_changed_forged_or_kept(tmp_path: Path, verify: Callable[..., bool]) -> None:
    headers, body = delivered(tmp_path)
    assert not verify(headers, body + b" ", SECRET)
    assert not verify(headers, body, b"another secret")
    assert not verify(
        {**headers, "kubetape-timestamp": str(int(headers["kubetape-timestamp"]) + 1)}, body, SECRET
    )
    assert not verify({**headers, "kubetape-signature": ""}, body, SECRET)
    assert not verify({}, body, SECRET)
    old, body = delivered(tmp_path, lambda: time.time() - 301)
    assert not verify(old, body, SECRET)


def test_its_policy_loads_and_its_tests_pass() -> None:
    policy = load_policy({"prod.yaml": block("yaml policy").encode()})
    assert list(policy.grants) == ["debug-prod"]
    assert [result.failures for result in run_tests(policy)] == [()]


def test_it_names_every_route_and_every_event() -> None:
    for route in ROUTES:
        path = route.path.replace("{id}", "ID")
        assert re.search(rf"`{route.method} {re.escape(path)}[?`]", PAGE), path
    for event in EVENTS:
        assert f"`{event}`" in PAGE


def test_the_configuration_page_shows_settings_that_are_read() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    (example,) = re.findall(r"^console:\n.*?(?=^drainSeconds)", page, re.MULTILINE | re.DOTALL)
    settings = parse_settings(example.encode(), "configuration.md")
    assert settings.console.admins.groups == ("sre-leads",)
    assert settings.approvals.slack

"""Webhooks: what counts as delivered, what is tried again, what is given up, and who is not believed."""

import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.outlets import webhook_door as module
from gateway.outlets import webhook_sink
from gateway.outlets.delivery import Delivery
from gateway.outlets.settings import BatchSettings, OutletSettings, OutletType
from gateway.outlets.webhook_sink import MAX_REFUSED_IN_A_ROW, Answer, WebhookSink
from tests.kit.audit_schema import read_event_list
from tests.kit.webhook_server import webhook_server


def event(number: int) -> bytes:
    return (
        b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%d","stage":"ResponseComplete",'
        b'"requestURI":"/","verb":"get","user":{},"requestReceivedTimestamp":"2026-01-31T10:00:00.000000Z",'
        b'"stageTimestamp":"2026-01-31T10:00:00.000000Z","annotations":{}}' % number
    )


def events(count: int) -> list[bytes]:
    return [event(number) for number in range(count)]


def hook(url: str = "https://siem.example.com/", **changes: Any) -> OutletSettings:
    return OutletSettings(name="siem", type=OutletType.AUDIT_WEBHOOK, url=url, **changes)


@contextmanager
def sink_to(url: str, **changes: Any) -> Iterator[WebhookSink]:
    sink = WebhookSink(hook(url, **changes))
    try:
        yield sink
    finally:
        sink.close()


class Receiver:
    """Takes batches by a rule, and remembers their ids."""

    def __init__(self, judge: Callable[[list[int]], int]) -> None:
        self._judge = judge
        self.batches: list[list[int]] = []
        self.taken: list[int] = []

    def post(self, body: bytes) -> Answer:
        ids = [int(one["auditID"]) for one in json.loads(body)["items"]]
        status = self._judge(ids)
        self.batches.append(ids)
        if status == 200:
            self.taken += ids
        return Answer(status, "why")


def deliver_by(judge: Callable[[list[int]], int], batch: Sequence[bytes]) -> tuple[Delivery, Receiver]:
    receiver = Receiver(judge)
    return WebhookSink(hook(), post=receiver.post).deliver(batch), receiver


# --- batches ----------------------------------------------------------------------------------------


def test_a_batch_that_is_taken_is_taken_whole() -> None:
    delivery, receiver = deliver_by(lambda _: 200, events(5))
    assert delivery == Delivery(5)
    assert receiver.batches == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("status", [0, 301, 401, 403, 404, 408, 429, 500, 503])
def test_everything_else_is_a_problem_and_nothing_is_lost(status: int) -> None:
    delivery, _ = deliver_by(lambda _: status, events(3))
    assert (delivery.taken, delivery.rejected) == (0, ())
    assert "why" in delivery.problem
    assert ("redirects are not followed" in delivery.problem) is (status == 301)


def test_a_batch_too_large_is_split_and_the_limit_remembered() -> None:
    receiver = Receiver(lambda ids: 200 if len(ids) <= 3 else 413)
    sink = WebhookSink(hook(), post=receiver.post)
    assert sink.deliver(events(8)) == Delivery(8)
    assert receiver.taken == list(range(8))
    refused = sum(len(batch) > 3 for batch in receiver.batches)
    assert sink.deliver(events(2)) == Delivery(2)
    assert sum(len(batch) > 3 for batch in receiver.batches) == refused, (
        "it asked again for what was too much"
    )


def test_a_single_event_too_large_is_given_up_and_the_others_arrive() -> None:
    delivery, receiver = deliver_by(lambda ids: 413 if 4 in ids else 200, events(9))
    assert delivery == Delivery(9, (4,))
    assert receiver.taken == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("status", [400, 422])
def test_events_that_can_never_pass_are_found_and_do_not_block_the_others(status: int) -> None:
    bad = {3, 11}
    delivery, receiver = deliver_by(lambda ids: status if bad & set(ids) else 200, events(16))
    assert delivery == Delivery(16, (3, 11))
    assert receiver.taken == [number for number in range(16) if number not in bad]
    assert len(receiver.batches) < 16


def test_a_receiver_that_refuses_everything_is_the_problem_itself() -> None:
    delivery, _ = deliver_by(lambda _: 400, events(100))
    assert delivery.taken == len(delivery.rejected) == MAX_REFUSED_IN_A_ROW
    assert delivery.problem == "it refuses everything: the webhook answered 400: why"


def test_what_went_before_a_problem_need_not_go_again() -> None:
    delivery, _ = deliver_by(lambda ids: 413 if len(ids) > 2 else (500 if 2 in ids else 200), events(4))
    assert (delivery.taken, delivery.problem) == (2, "the webhook answered 500: why")


def test_a_sink_without_a_post_needs_a_url() -> None:
    with pytest.raises(AssertionError):
        webhook_sink._post_through(None)


# --- over the network -------------------------------------------------------------------------------


def test_an_event_list_arrives_as_the_api_server_sends_it(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    with webhook_server() as receiver, sink_to(receiver.url, token_file=str(token)) as sink:
        assert sink.deliver(events(2)) == Delivery(2)
        token.write_text("second")
        assert sink.deliver(events(1)) == Delivery(1)
    assert [one.auditID for one in read_event_list(receiver.received[0].body)] == ["0", "1"]
    headers = [one.headers for one in receiver.received]
    assert [one["authorization"] for one in headers] == ["Bearer first", "Bearer second"]
    assert headers[0]["content-type"] == "application/json"
    assert headers[0]["user-agent"] == "kubetape"


def test_https_is_verified_against_the_ca_file_which_may_change(tmp_path: Path) -> None:
    ours, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    ca = tmp_path / "ca.crt"
    other.cert_pem.write_to_path(str(ca))
    with webhook_server(context=context) as receiver, sink_to(receiver.url, ca_file=str(ca)) as sink:
        assert "CERTIFICATE_VERIFY_FAILED" in sink.deliver(events(1)).problem
        ours.cert_pem.write_to_path(str(ca))
        assert sink.deliver(events(1)) == Delivery(1)
        ca.write_text("nonsense")
        assert sink.deliver(events(1)) == Delivery(1), "a connection that works is kept"
    with sink_to(receiver.url, ca_file=str(ca)) as sink:
        assert sink.deliver(events(1)).problem.startswith(f"CA file {ca}: ")


def test_a_redirect_is_not_followed() -> None:
    with webhook_server() as elsewhere:
        moved = (307, {"location": elsewhere.url}, b"")
        with webhook_server(moved) as receiver, sink_to(receiver.url) as sink:
            delivery = sink.deliver(events(1))
    assert delivery.problem == "the webhook answered 307 (redirects are not followed)"
    assert elsewhere.received == []


def test_an_answer_is_read_up_to_a_limit_and_shown_harmless() -> None:
    endless = (500, {"content-length": str(10**12)}, b"\x1b[2Jno\nroom " + b"x" * 200_000)
    with webhook_server(endless) as receiver, sink_to(receiver.url) as sink:
        problem = sink.deliver(events(1)).problem
    assert problem.startswith("the webhook answered 500: \\x1b[2Jno room xxx")
    assert len(problem) < 300


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("99999", 300.0), ("soon", 0.0), ("", 0.0)])
def test_the_receiver_may_ask_for_patience(asked: str, seconds: float) -> None:
    with webhook_server((429, {"retry-after": asked}, b"")) as receiver, sink_to(receiver.url) as sink:
        assert sink.deliver(events(1)).retry_after_s == seconds


def test_a_receiver_that_hangs_up_or_is_not_there_is_a_problem_and_comes_back() -> None:
    with webhook_server(None, 200) as receiver, sink_to(receiver.url) as sink:
        assert sink.deliver(events(1)).problem
        assert sink.deliver(events(1)) == Delivery(1)
    with sink_to(receiver.url) as sink:
        assert "Connection refused" in sink.deliver(events(1)).problem


def test_an_attempt_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with sink_to(url) as sink:
            assert "timed out" in sink.deliver(events(1)).problem


def test_an_answer_that_trickles_is_cut_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPT_S", 0.0)
    late = (200, {"content-length": "5"}, b"hello")
    with webhook_server(late) as receiver:
        monkeypatch.setattr("httpx2.Timeout", lambda *_, **__: None)  # only our own deadline counts here
        with sink_to(receiver.url) as sink:
            assert sink.deliver(events(1)) == Delivery(1)


@pytest.mark.parametrize("content", [b"", b"two words", b"bad\xff", b"x" * 20_000])
def test_a_token_file_that_holds_no_token_is_said_without_its_content(tmp_path: Path, content: bytes) -> None:
    token = tmp_path / "token"
    token.write_bytes(content)
    with webhook_server() as receiver, sink_to(receiver.url, token_file=str(token)) as sink:
        problem = sink.deliver(events(1)).problem
        assert problem == f"token file {token} holds no token: one word of visible ASCII"
        os.unlink(token)
        assert sink.deliver(events(1)).problem == f"token file {token}: No such file or directory"
    assert receiver.received == []


def test_a_name_that_leads_to_a_metadata_service_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with sink_to("https://innocent.example.com/") as sink:
        problem = sink.deliver(events(1)).problem
    assert problem == "innocent.example.com is a link-local or metadata address: events do not go there"


def test_a_name_nobody_knows_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with sink_to("https://nowhere.example.com/") as sink:
        assert "Name or service not known" in sink.deliver(events(1)).problem


def test_a_ceiling_grows_again_with_what_is_taken() -> None:
    receiver = Receiver(lambda _: 200)
    sink = WebhookSink(hook(batch=BatchSettings(max_events=2)), post=receiver.post)
    assert sink.deliver(events(7)) == Delivery(7)
    assert sink.deliver(events(7)) == Delivery(7)
    assert [len(batch) for batch in receiver.batches] == [2, 2, 2, 1, 3, 3, 1]

"""Each error has one answer."""

import pytest

from gateway.errors import (
    BAD_REQUEST,
    STATUS_REASONS,
    ClientLeft,
    GatewayError,
    Refusal,
    UpstreamError,
    UpstreamLost,
    UpstreamUnreachable,
    refusal_for,
)
from protocol.errors import RefusedTarget, RemoteProtocolError, TooLarge
from storage.errors import LogFailed


@pytest.mark.parametrize(
    ("error", "code", "result", "loud"),
    [
        (Refusal(BAD_REQUEST, "why"), 400, "refused", False),
        (RefusedTarget("why"), 400, "refused", False),
        (RefusedTarget("why", status=405), 405, "refused", False),
        (RemoteProtocolError("why", status_hint=417), 417, "refused", False),
        (TooLarge("why", status_hint=431), 431, "refused", False),
        (UpstreamUnreachable("why"), 502, "failed", True),
        (UpstreamLost("why"), 502, "failed", True),
        (UpstreamError("why"), 502, "failed", True),
    ],
)
def test_an_error_is_answered_with_its_code_and_its_own_words(
    error: Exception, code: int, result: str, loud: bool
) -> None:
    refusal = refusal_for(error)
    assert (refusal.answer.code, refusal.answer.result, refusal.answer.loud) == (code, result, loud)
    assert refusal.message == "why"


def test_a_failed_log_says_that_nothing_was_forwarded() -> None:
    refusal = refusal_for(LogFailed("sync", "/data/secret-path", OSError(5, "EIO")))
    assert refusal.answer.code == 503
    assert "secret-path" not in refusal.message


@pytest.mark.parametrize(
    "error", [ValueError("secret"), ExceptionGroup("secret", [ValueError("secret")]), ClientLeft("secret")]
)
def test_an_unexpected_error_tells_the_client_nothing(error: Exception) -> None:
    refusal = refusal_for(error)
    assert (refusal.answer.code, refusal.answer.loud) == (500, True)
    assert "secret" not in refusal.message


def test_every_status_a_parser_may_hint_at_has_a_reason() -> None:
    assert {400, 405, 408, 413, 415, 417, 421, 431, 501, 505} <= set(STATUS_REASONS)
    assert refusal_for(RemoteProtocolError("why", status_hint=414)).answer.reason == "BadRequest"
    assert issubclass(Refusal, GatewayError)

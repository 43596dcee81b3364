"""Codes to outcomes: what S3 means, not what its HTTP status says."""

import pytest

from gateway.export.s3_answers import answer_of_code, answer_of_library
from storage.export import Outcome


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("PreconditionFailed", 412, Outcome.EXISTS),
        ("ConditionalRequestConflict", 409, Outcome.CONFLICT),
        ("OperationAborted", 409, Outcome.CONFLICT),
        ("NoSuchKey", 404, Outcome.MISSING),
        ("404", 404, Outcome.MISSING),
        ("NoSuchBucket", 404, Outcome.DENIED),
        ("InternalError", 500, Outcome.TRANSIENT),
        ("InternalError", 200, Outcome.TRANSIENT),
        ("SlowDown", 503, Outcome.TRANSIENT),
        ("RequestTimeout", 400, Outcome.TRANSIENT),
        ("TooManyRequests", 429, Outcome.TRANSIENT),
        ("NotImplemented", 501, Outcome.DENIED),
        ("BadDigest", 400, Outcome.MISMATCH),
        ("XAmzContentChecksumMismatch", 400, Outcome.MISMATCH),
        ("RequestTimeTooSkewed", 403, Outcome.SKEWED),
        ("AccessDenied", 403, Outcome.DENIED),
        ("ExpiredToken", 400, Outcome.DENIED),
        ("PermanentRedirect", 301, Outcome.DENIED),
        ("EntityTooLarge", 400, Outcome.UNFIT),
        ("SomethingNew", 400, Outcome.DENIED),
    ],
)
def test_every_code_has_one_meaning(code: str, status: int, outcome: Outcome) -> None:
    answer = answer_of_code("put k", code, status)
    assert (answer.outcome, answer.code) == (outcome, code)
    assert answer.detail.startswith(f"put k: {code} ({status})")


def test_a_code_that_is_none_is_not_repeated() -> None:
    answer = answer_of_code("put k", "x\n\x1b[31mCredential=AKID", 500)
    assert answer.detail == "put k: error (500)"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("NoCredentialsError", Outcome.DENIED),
        ("CredentialRetrievalError", Outcome.DENIED),
        ("ParamValidationError", Outcome.DENIED),
        ("ReadTimeoutError", Outcome.TRANSIENT),
        ("SSLError", Outcome.TRANSIENT),
    ],
)
def test_errors_without_an_answer_are_named_by_their_class_only(error: str, outcome: Outcome) -> None:
    answer = answer_of_library("head k", error)
    assert answer.outcome is outcome
    assert error in answer.detail

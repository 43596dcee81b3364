"""THE table: what went wrong -> HTTP code, Status reason, how it is recorded, how loud the log is.

Refusal                       ends one exchange with a Status; everything below becomes one
    UpstreamError             the API server could not be reached or broke the protocol
        UpstreamUnreachable   nothing was sent: the cluster has not seen the call
        CredentialRejected    it does not accept our credential: 503, never the client's 401
        UpstreamLost          it may have: the outcome is unknown
ClientLeft                    the client went away; nobody is there to answer
"""

from dataclasses import dataclass
from typing import Final

from protocol.errors import RefusedTarget, RemoteProtocolError
from protocol.status import Details
from storage.errors import LogFailed


class GatewayError(Exception):
    """Base of the errors of this package."""


def innermost(error: BaseException) -> BaseException:
    """What really happened: nurseries wrap errors in groups. Of several, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class ClientLeft(GatewayError):
    """The client closed or reset its connection or stream. Record it; there is nobody to answer."""


class UpstreamError(GatewayError):
    """The API server could not answer. The text is fit for the client."""


class UpstreamUnreachable(UpstreamError):
    """No byte of the call was sent: no connection, or no credential. Safe to try again."""


class CredentialRejected(UpstreamError):
    """The API server does not accept our credential: not the client's fault, and not the client's 401."""


class UpstreamLost(UpstreamError):
    """The connection broke after bytes were sent, or the answer was not HTTP."""


@dataclass(frozen=True)
class Answer:
    """How one kind of error is answered and recorded.

    result: `storage.records.Outcome.result`. loud: an operator should see it in the log.
    """

    code: int
    reason: str
    result: str
    loud: bool = False


class Refusal(GatewayError):
    """The answer to one call is an error of ours. `message` is one line, shown to the person.

    details: the same for programs (docs/denials.md). retry_after_s: only when client-go shall ask again by
    itself, which it does for 429 and 5xx, up to ten times, mutations included.
    """

    def __init__(
        self,
        answer: Answer,
        message: str,
        *,
        details: Details | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.answer, self.message = answer, message
        self.details, self.retry_after_s = details, retry_after_s


BAD_REQUEST: Final = Answer(400, "BadRequest", "refused")
UNAUTHORIZED: Final = Answer(401, "Unauthorized", "refused")
FORBIDDEN: Final = Answer(403, "Forbidden", "denied")
IDENTITY_UNAVAILABLE: Final = Answer(503, "ServiceUnavailable", "refused", loud=True)
TOO_LARGE: Final = Answer(413, "RequestEntityTooLarge", "refused")
UNSUPPORTED_MEDIA: Final = Answer(415, "UnsupportedMediaType", "refused")
MISDIRECTED: Final = Answer(421, "BadRequest", "refused")
NOT_RECORDED: Final = Answer(503, "ServiceUnavailable", "failed")  # said once, when recording fails
UNREACHABLE: Final = Answer(502, "ServiceUnavailable", "failed", loud=True)
ANSWER_NOT_RECORDED: Final = Answer(500, "InternalError", "failed", loud=True)
CUT: Final = Answer(503, "ServiceUnavailable", "cut")
REVOKED: Final = Answer(403, "Forbidden", "cut")  # while it was under way; before it began: FORBIDDEN
EXPIRED: Final = Answer(401, "Unauthorized", "cut")  # so that exec plugins fetch a new credential
HELD: Final = Answer(
    429, "TooManyRequests", "held"
)  # still waiting for people: client-go comes back by itself
UNPROCESSABLE: Final = Answer(422, "Invalid", "refused")
STATE_UNAVAILABLE: Final = Answer(503, "ServiceUnavailable", "failed", loud=True)
REJECTED: Final = Answer(503, "ServiceUnavailable", "failed", loud=True)
LOST: Final = Answer(502, "InternalError", "failed", loud=True)
INTERNAL: Final = Answer(500, "InternalError", "failed", loud=True)

STATUS_REASONS: Final = {
    400: "BadRequest",
    405: "MethodNotAllowed",
    408: "Timeout",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    417: "BadRequest",
    421: "BadRequest",
    431: "BadRequest",
    501: "MethodNotAllowed",
    505: "BadRequest",
}


def refusal_for(error: Exception) -> Refusal:
    """The answer to any error that ends an exchange before its response began."""
    match error:
        case Refusal():
            return error
        case RefusedTarget():
            reason = STATUS_REASONS.get(error.status, "BadRequest")
            return Refusal(Answer(error.status, reason, "refused"), error.why)
        case RemoteProtocolError():
            reason = STATUS_REASONS.get(error.status_hint, "BadRequest")
            return Refusal(Answer(error.status_hint, reason, "refused"), error.why)
        case LogFailed():
            return Refusal(NOT_RECORDED, "kubetape cannot record this call, so it is refused (see readyz)")
        case UpstreamUnreachable():
            return Refusal(UNREACHABLE, str(error))
        case CredentialRejected():
            return Refusal(REJECTED, str(error))
        case UpstreamError():
            return Refusal(LOST, str(error))
        case _:
            return Refusal(INTERNAL, "kubetape failed to serve this call; the operator's log says why")

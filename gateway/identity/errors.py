"""The one way to be turned away at the door."""

from gateway.errors import GatewayError


class Unauthenticated(GatewayError):
    """This request has no identity. Answer 401, or 503 when `unavailable`; forward nothing.

    reason: one line, fit for the client. detail: more, for the operator's log. Neither ever holds a
    byte of a token. unavailable: the credential may be good, but we cannot tell at the moment (the
    issuer's keys could not be fetched), so the client should keep it and try again.
    """

    def __init__(self, reason: str, *, detail: str = "", unavailable: bool = False) -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail, self.unavailable = reason, detail, unavailable

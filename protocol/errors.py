"""What can be wrong with bytes, by who is at fault.

ProtocolError
    RemoteProtocolError   the peer broke the protocol: carried by `Failed`, never raised
        TooLarge          ... by exceeding one of our limits
        Flooding          ... by exceeding one of our budgets
    LocalProtocolError    we did: a bug of ours, raised
    RefusedTarget         a request target nobody may forward (apicall)
    Unreadable            a request body nobody can judge (kinds)
"""


class ProtocolError(Exception):
    """Base of all errors of this package."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something we refuse. Answer `status_hint` where an answer is possible, then close.

    why: one line, without any byte of a header value or body, fit for a log and for the peer.
    status_hint: the HTTP status that says it best (400, 408, 413, 414, 417, 421, 431, 501, 505).
    """

    def __init__(self, why: str, *, status_hint: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status_hint = status_hint


class TooLarge(RemoteProtocolError):
    """A head, a frame or a message exceeds its limit."""


class Flooding(RemoteProtocolError):
    """The peer exceeds a budget: frames that cost us work and carry nothing."""


class LocalProtocolError(ProtocolError):
    """We tried to send what the protocol does not allow in this state. A bug: let it propagate."""


class RefusedTarget(ProtocolError):
    """A request target that no two parsers read alike. Answer 400 (or 405) and forward nothing.

    why: one line for the peer. status: 400, or 405 for an unknown method.
    """

    def __init__(self, why: str, *, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class Unreadable(ProtocolError):
    """A body that cannot be read far enough to judge or mask it. Answer `status`, forward nothing.

    why: one line for the peer, without any value of the body. status: 400, or 415 for an encoding we do not speak.
    """

    def __init__(self, why: str, *, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status

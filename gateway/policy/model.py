"""What a decision is: the Verdict, and the facts it is made from."""

from enum import Enum

import msgspec

from gateway.principal import Principal
from protocol.apicall import Call


class Action(Enum):
    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"


class Mode(Enum):
    """OBSERVE: no policy file is loaded, everything identified is allowed and recorded."""

    OBSERVE = "observe"
    ENFORCE = "enforce"


class Facts(msgspec.Struct, frozen=True):
    """Everything a rule may look at. The same Call goes to the record and upstream."""

    principal: Principal
    call: Call
    source_address: str  # address of the client's socket, without the port


class Verdict(msgspec.Struct, frozen=True):
    """What happens to one call, and on whose word.

    rules: ids of the rules that matched, strongest first. reason: one line for the person, when not allowed.
    """

    action: Action
    mode: Mode
    rules: tuple[str, ...] = ()
    policy_sha256: str = ""
    reason: str = ""

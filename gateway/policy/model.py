"""What a decision is made from, and what it is: Facts and Verdict.

Everything here is a value: frozen, comparable, without a clock. Who makes them: `decide`. Who obeys them: admission
(allow, deny), `approvals` (hold), `masking` (masks), the tape (recording scope), the tunnel (stream rules), `budgets`.
"""

from enum import Enum
from typing import TypeAlias

import msgspec

from gateway.principal import Principal
from protocol.apicall import Call

JsonObject: TypeAlias = dict[str, object]
"""A decoded object: str, int, float, bool, None, list and dict."""


class Action(Enum):
    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"


class Mode(Enum):
    """OBSERVE: no policy file is loaded, everything identified is allowed and recorded."""

    OBSERVE = "observe"
    ENFORCE = "enforce"


class Scope(Enum):
    """What of an allowed call is recorded. METADATA: no bodies and no bytes of streams, only their sizes."""

    FULL = "full"
    METADATA = "metadata"


class ActiveGrant(msgspec.Struct, frozen=True):
    """A grant of this principal that is in force now. bundle: the name under `grants:` of the policy."""

    id: str
    bundle: str
    expires_ns: int  # UTC


class Needs(msgspec.Struct, frozen=True):
    """Which objects a policy has to see before it can decide a call."""

    object: bool = False  # the request body, decoded
    old_object: bool = False  # the object as it is in the cluster now


class Facts(msgspec.Struct, frozen=True):
    """Everything a rule may look at. The same Call goes to the record and upstream.

    object: the decoded request body, old_object: the object in the cluster: JSON-like values, None where there is
    none (or `Needs` did not ask). at_ns: UTC nanoseconds of the decision.
    """

    principal: Principal
    call: Call
    source_address: str  # address of the client's socket, without the port
    at_ns: int = 0
    object: JsonObject | None = None
    old_object: JsonObject | None = None
    grants: tuple[ActiveGrant, ...] = ()


class Mask(msgspec.Struct, frozen=True):
    """What one rule hides in an answer, a request body in the record, a stream, a command line.

    paths: into the decoded object, `data.*`, `spec.containers[*].env[*].value`, `metadata.annotations["a.b/c"]`;
    in a list they hold for every item. detectors: names of built-in ones or of the policy's own, applied to every
    text. columns: of Tables, by name, any case.
    """

    rule: str  # "policy/rule"
    paths: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


class CustomDetector(msgspec.Struct, frozen=True):
    """A pattern of a policy file, in RE2 syntax. group: what of a match is hidden (0: all of it)."""

    name: str
    pattern: str
    group: int = 0


class Approvers(msgspec.Struct, frozen=True):
    """Who may decide: any of these users or members of these groups, never the requester."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    quorum: int = 1  # distinct people


class HoldTerms(msgspec.Struct, frozen=True):
    """How a held call is decided.

    scope: "command": one approval covers what the same kubectl run asks for of the same kind in the same namespace;
    "request": this very request, once. wait_s: how long a person has.
    """

    rule: str
    approvers: Approvers
    wait_s: int = 300
    scope: str = "command"
    reason: str = ""


class CommandRule(msgspec.Struct, frozen=True):
    """A pattern for lines typed into a terminal (best effort). action: "alert", "hold" or "deny"."""

    rule: str
    pattern: str  # RE2, searched in the line
    action: str
    reason: str = ""
    hold: HoldTerms | None = None


class FileRule(msgspec.Struct, frozen=True):
    """A limit on what `kubectl cp` carries. direction: "up", "down" or "both"; names: globs of full paths."""

    rule: str
    direction: str = "both"
    names: tuple[str, ...] = ()  # those refused; empty: only the size counts
    max_bytes: int | None = None  # of one file
    reason: str = ""


class StreamRules(msgspec.Struct, frozen=True):
    """What is watched inside an exec, attach or port-forward. ports: those a port-forward may open (None: any)."""

    commands: tuple[CommandRule, ...] = ()
    files: tuple[FileRule, ...] = ()
    ports: tuple[int, ...] | None = None


class BudgetTerms(msgspec.Struct, frozen=True):
    """How much of one kind a session or grant may use before `action` ("hold" or "freeze").

    counter: deletes, secretsRead, podsTouched, bytesOut, execMinutes. per: "session" or "grant".
    """

    rule: str
    counter: str
    limit: int
    per: str = "session"
    action: str = "hold"
    hold: HoldTerms | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What happens to one call, and on whose word.

    rules: ids ("policy/rule") of the rules that matched, strongest first. reason: one line for the person, when not
    allowed; hint: what would be. shadow: rules in shadow mode that would have denied or held. grants: ids of the
    active grants that the permission rests on.
    """

    action: Action
    mode: Mode
    rules: tuple[str, ...] = ()
    policy_sha256: str = ""
    reason: str = ""
    hint: str = ""
    hold: HoldTerms | None = None
    masks: tuple[Mask, ...] = ()
    scope: Scope = Scope.FULL
    streams: StreamRules = StreamRules()
    budgets: tuple[BudgetTerms, ...] = ()
    shadow: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()


class GrantTerms(msgspec.Struct, frozen=True):
    """What may be asked for just in time: a bundle of rules that count only for who holds it.

    bundle: its name, unique over all files. requesters: who may ask (users, groups; empty: anyone identified).
    """

    bundle: str
    approvers: Approvers
    max_duration_s: int
    requester_users: tuple[str, ...] = ()
    requester_groups: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()  # ids, for showing
    lifts: tuple[str, ...] = ()  # ids of hold rules that do not count for who holds it
    reason: str = ""

"""The policy file, as frozen structs: what may be written where. What it means is in docs/policy.md.

Decoded from YAML by `reading`; the published JSON Schema is made from these (`schema`), so the comments on the classes
and the limits here are what an editor shows. What no single value can tell is checked by `load`.
"""

from typing import Annotated, Final, Literal

import msgspec

API_VERSION: Final = "kubetape/v1"

NAME_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$(?!\\n)"
DURATION_PATTERN: Final = "^([0-9]{1,6}(h|m|s))+$(?!\\n)"
LINE_PATTERN: Final = "^[^\\x00-\\x1f\\x7f]+$(?!\\n)"
"""The lookahead: `$` alone would let a line end through."""
REQUEST_PATTERN: Final = "^[A-Z]+ /"

Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
Globs = Annotated[list[str], msgspec.Meta(min_length=1, max_length=1000)]
Texts = Annotated[list[str], msgspec.Meta(min_length=1, max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
OneLine = Annotated[str, msgspec.Meta(max_length=512, pattern=LINE_PATTERN)]
Duration = Annotated[str, msgspec.Meta(pattern=DURATION_PATTERN)]
Verb = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]

VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy")
METHOD_VERBS: Final = ("get", "head", "post", "put", "patch", "delete", "options")
"""Of calls that are no resources: the method, in lower case."""


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Base of everything in the file: unknown keys are mistakes."""


class Metadata(Strict, frozen=True):
    """The name stands before every rule: "name/rule"."""

    name: Name
    description: OneLine | None = None


class TimeWindow(Strict, frozen=True):
    """When. from and to: HH:MM; from later than to: over midnight, of the day on which it begins.

    zone: "UTC", "+02:00" or a name such as Europe/Berlin.
    """

    days: (
        Annotated[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], msgspec.Meta(min_length=1)]
        | None
    ) = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    zone: str = "UTC"


class Match(Strict, frozen=True):
    """Which calls a rule is about. A field that is not there matches all; the fields that are must all match.

    Lists: any of them. A glob knows one sign, `*`: any characters, also none. It is for the whole value and
    case-sensitive. With `!` before it, it takes out what it matches.
    """

    users: Globs | None = None
    groups: Globs | None = None
    issuers: Globs | None = None  # of the identity: URL of the OIDC issuer
    claims: dict[str, Globs] | None = None  # of the token, by name
    verbs: Annotated[list[Verb], msgspec.Meta(min_length=1)] | None = None
    api_groups: Globs | None = None  # "" is the core group
    resources: Globs | None = None  # pods, pods/exec, pods/*, deployments.apps, *, !secrets
    namespaces: Globs | None = None
    names: Globs | None = None
    labels: dict[str, Globs] | None = None  # of the object in the cluster and of the one that is sent
    argv: Annotated[list[str | Texts], msgspec.Meta(min_length=1, max_length=1000)] | None = None
    ports: Annotated[list[Port], msgspec.Meta(min_length=1, max_length=1000)] | None = None
    paths: Globs | None = None  # of calls that are no resources: /healthz, /version
    time: TimeWindow | None = None
    sources: Texts | None = None  # CIDRs of the client's address
    tty: bool | None = None
    stdin: bool | None = None


class ApproverSpec(Strict, frozen=True):
    """Who may decide; the requester never may. quorum: how many different people must agree."""

    users: Texts | None = None
    groups: Texts | None = None
    quorum: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1


class HoldSpec(Strict, frozen=True):
    """The call waits for people. scope command: one approval for all calls of the same kubectl run."""

    approvers: ApproverSpec
    wait: Duration = "5m"
    scope: Literal["command", "request"] = "command"
    reason: OneLine | None = None


class MaskSpec(Strict, frozen=True):
    """What is hidden in answers and in the record: paths into objects, detectors on every text, columns of tables."""

    paths: Texts | None = None
    detectors: Texts | None = None
    columns: Texts | None = None


class CommandSpec(Strict, frozen=True):
    """A line typed into a terminal (best effort). pattern: RE2, searched in the line; hold: when `do` is hold."""

    pattern: Pattern
    do: Literal["alert", "hold", "deny"]
    reason: OneLine | None = None
    hold: HoldSpec | None = None


class FileSpec(Strict, frozen=True):
    """What `kubectl cp` may not carry. names: globs of full paths; none given: only the size counts."""

    direction: Literal["up", "down", "both"] = "both"
    names: Texts | None = None
    max_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    reason: OneLine | None = None


class Limits(Strict, frozen=True, kw_only=True):
    """How much a session or grant may use. hold: who is asked then; action freeze: nothing more is allowed."""

    deletes: Count | None = None
    secrets_read: Count | None = None
    pods_touched: Count | None = None
    bytes_out: Count | None = None
    exec_minutes: Count | None = None
    action: Literal["hold", "freeze"] = "hold"
    hold: HoldSpec | None = None


class BudgetSpec(Limits, frozen=True, kw_only=True):
    """What the calls of a rule may use together. per: what is counted for."""

    per: Literal["session", "grant"] = "session"


class Actions(Strict, frozen=True):
    """What a rule does. deny and hold stand alone; the others may stand together, and do not allow anything."""

    deny: OneLine | None = None
    hold: HoldSpec | None = None
    mask: MaskSpec | None = None
    record: Literal["metadata"] | None = None  # no bodies, no bytes of streams, only their sizes
    commands: Annotated[list[CommandSpec], msgspec.Meta(min_length=1, max_length=200)] | None = None
    files: FileSpec | None = None
    ports: Annotated[list[Port], msgspec.Meta(max_length=1000)] | None = (
        None  # a port-forward opens these only
    )
    budget: BudgetSpec | None = None


class RuleSpec(Strict, frozen=True):
    """match: which calls. when: a CEL condition on top. mode shadow: only says what it would have denied or held."""

    name: Name
    action: Literal["allow", "deny"] | Actions
    description: OneLine | None = None
    match: Match = Match()
    when: Annotated[str, msgspec.Meta(min_length=1, max_length=65536)] | None = None
    mode: Literal["enforce", "shadow"] = "enforce"


class RequesterSpec(Strict, frozen=True):
    """Who may ask; nobody named: everybody who is identified."""

    users: Texts | None = None
    groups: Texts | None = None


class GrantSpec(Strict, frozen=True):
    """What may be asked for just in time. rules: they count only for who holds it. lifts: hold rules that do not."""

    name: Name
    approvers: ApproverSpec
    max_duration: Duration
    requesters: RequesterSpec = RequesterSpec()
    reason: OneLine | None = None
    lifts: Texts | None = None  # "rule" of this file, or "policy/rule"
    rules: list[RuleSpec] = []
    budgets: list[Limits] = []


class BudgetRule(Limits, frozen=True, kw_only=True):
    """A rule that does nothing but count."""

    name: Name
    match: Match = Match()
    when: Annotated[str, msgspec.Meta(min_length=1, max_length=65536)] | None = None
    per: Literal["session", "grant"] = "session"


class DetectorSpec(Strict, frozen=True):
    """A pattern of one's own, in RE2 syntax. group: which group of it is hidden (0: the whole match)."""

    name: Name
    re2: Pattern
    group: Annotated[int, msgspec.Meta(ge=0, le=99)] = 0


class PersonSpec(Strict, frozen=True):
    """Who asks in a test."""

    user: OneLine
    groups: list[str] = []
    claims: dict[str, object] = {}
    issuer: str = ""


class CaseSpec(Strict, frozen=True, kw_only=True):
    """What the policy must say to one request. at: RFC 3339. grants: bundles the person holds."""

    request: Annotated[str, msgspec.Meta(pattern=REQUEST_PATTERN)]
    expect: Literal["allow", "deny", "hold"]
    as_: PersonSpec = msgspec.field(name="as")
    name: OneLine | None = None
    body: dict[str, object] | None = None
    old: dict[str, object] | None = None
    at: str | None = None
    source: str = "127.0.0.1"
    grants: list[str] = []
    rule: str | None = None  # must be among those that matched
    masks: list[str] | None = None  # rules whose masks apply, all of them
    shadow: list[str] | None = None
    scope: Literal["full", "metadata"] | None = None


class PolicyFile(Strict, frozen=True, kw_only=True):
    """One file. Several are read together: all rules of all files count."""

    api_version: Literal["kubetape/v1"]
    kind: Literal["Policy"]
    metadata: Metadata
    default: Literal["deny", "allow"] | None = None
    detectors: list[DetectorSpec] = []
    rules: list[RuleSpec] = []
    grants: list[GrantSpec] = []
    budgets: list[BudgetRule] = []
    tests: list[CaseSpec] = []

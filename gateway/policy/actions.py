"""`action:` -> what a rule says and brings about; and what is wrong with one that has the right form."""

from collections.abc import Callable
from typing import Final

from gateway.policy.command import compile_pattern
from gateway.policy.globs import problem_of
from gateway.policy.masking.paths import BadPath, parse_path
from gateway.policy.model import Approvers, BudgetTerms, CommandRule, FileRule, HoldTerms, Mask
from gateway.policy.rule import Effects, Kind
from gateway.policy.syntax import (
    Actions,
    ApproverSpec,
    BudgetRule,
    BudgetSpec,
    HoldSpec,
    Limits,
    MaskSpec,
    RuleSpec,
)
from gateway.strict_yaml import Path, nearest
from protocol.durations import parse_duration_s

MAX_WAIT_S: Final = 24 * 3600
COUNTERS: Final = {
    "deletes": "deletes",
    "secretsRead": "secrets_read",
    "podsTouched": "pods_touched",
    "bytesOut": "bytes_out",
    "execMinutes": "exec_minutes",
}

Report = Callable[[Path, str], None]
"""Called with where (from the rule on) and what is wrong."""


def spec_masks(spec: RuleSpec) -> bool:
    """Whether a rule hides something: then it is about whatever shows the object."""
    return isinstance(spec.action, Actions) and spec.action.mask is not None


def kind_of(spec: RuleSpec) -> Kind:
    action = spec.action
    if isinstance(action, str):
        return Kind.ALLOW if action == "allow" else Kind.DENY
    if action.deny is not None:
        return Kind.DENY
    return Kind.HOLD if action.hold is not None else Kind.OTHER


def compile_effects(spec: RuleSpec, rule: str) -> Effects:
    """spec: checked. rule: its id."""
    action = Actions() if isinstance(spec.action, str) else spec.action
    said = spec.description or ""
    opened = spec.match.ports if kind_of(spec) is Kind.ALLOW else action.ports
    return Effects(
        reason=action.deny or said or "a rule denies this",
        hold=compile_hold(action.hold, rule, said) if action.hold else None,
        mask=_mask(action.mask, rule) if action.mask else None,
        metadata_only=action.record == "metadata",
        commands=tuple(
            CommandRule(
                rule,
                command.pattern,
                command.do,
                command.reason or said,
                compile_hold(command.hold, rule, command.reason or said) if command.hold else None,
            )
            for command in action.commands or ()
        ),
        files=(
            FileRule(
                rule,
                action.files.direction,
                tuple(action.files.names or ()),
                action.files.max_bytes,
                action.files.reason or said,
            ),
        )
        if action.files
        else (),
        ports=None if opened is None else tuple(sorted(set(opened))),
        budgets=compile_budget(action.budget, rule) if action.budget else (),
    )


def seconds_of(text: str) -> int:
    """A duration of the form the syntax demands; 0 for one too long to be meant."""
    return int(parse_duration_s(text) or 0)


def compile_hold(spec: HoldSpec, rule: str, said: str) -> HoldTerms:
    return HoldTerms(
        rule=rule,
        approvers=compile_approvers(spec.approvers),
        wait_s=seconds_of(spec.wait),
        scope=spec.scope,
        reason=spec.reason or said,
    )


def compile_approvers(spec: ApproverSpec) -> Approvers:
    return Approvers(tuple(spec.users or ()), tuple(spec.groups or ()), spec.quorum)


def compile_budget(spec: Limits, rule: str, per: str = "") -> tuple[BudgetTerms, ...]:
    """One term for each counter. per: where the spec itself does not say."""
    if isinstance(spec, BudgetSpec | BudgetRule):
        per = spec.per
    hold = compile_hold(spec.hold, rule, "") if spec.hold else None
    return tuple(
        BudgetTerms(rule, counter, limit, per, spec.action, hold)
        for counter, name in COUNTERS.items()
        if (limit := getattr(spec, name)) is not None
    )


def _mask(spec: MaskSpec, rule: str) -> Mask:
    return Mask(rule, tuple(spec.paths or ()), tuple(spec.detectors or ()), tuple(spec.columns or ()))


# --- what is wrong ------------------------------------------------------------------------------------


def check_action(spec: RuleSpec, detectors: frozenset[str], report: Report) -> None:
    """detectors: all names a mask may use."""
    kind, action = kind_of(spec), spec.action
    if spec.mode == "shadow" and kind not in (Kind.DENY, Kind.HOLD):
        report(("mode",), "only what denies or holds can be tried in shadow mode")
    if isinstance(action, str):
        return
    said = [field for field in action.__struct_fields__ if getattr(action, field) is not None]
    if not said:
        report(("action",), "this does nothing: write allow, deny, {hold: ...} or {mask: ...}")
    if kind in (Kind.DENY, Kind.HOLD) and len(said) > 1:
        report(("action",), f"deny and hold stand alone: write a rule of its own for {said[-1]}")
    if action.hold is not None:
        check_hold(action.hold, ("action", "hold"), report)
    if action.mask is not None:
        _check_mask(action.mask, detectors, report)
    for at, command in enumerate(action.commands or ()):
        path = ("action", "commands", at)
        try:
            compile_pattern(CommandRule("", command.pattern, command.do))
        except ValueError as error:
            report((*path, "pattern"), str(error).removeprefix("rule : "))
        _check_hold_beside(command.do, command.hold, path, report)
    if action.files is not None:
        if action.files.names is None and action.files.max_bytes is None:
            report(("action", "files"), "this refuses nothing: give names or maxBytes")
        problem = problem_of(action.files.names or ())
        if problem is not None:
            report(("action", "files", "names", problem[0]), problem[1])
    if action.budget is not None:
        check_limits(action.budget, ("action", "budget"), report)


def check_hold(spec: HoldSpec, path: Path, report: Report) -> None:
    check_approvers(spec.approvers, (*path, "approvers"), report)
    if not 0 < seconds_of(spec.wait) <= MAX_WAIT_S:
        report((*path, "wait"), "a call waits between 1s and 24h")


def check_approvers(spec: ApproverSpec, path: Path, report: Report) -> None:
    if spec.users is None and spec.groups is None:
        report(path, "nobody could approve: name users or groups")
    elif spec.groups is None and spec.quorum > len(set(spec.users or ())):
        report((*path, "quorum"), f"{spec.quorum} people must agree, and fewer are named")


def check_limits(spec: Limits, path: Path, report: Report) -> None:
    if all(getattr(spec, name) is None for name in COUNTERS.values()):
        report(path, f"this limits nothing: give one of {', '.join(COUNTERS)}")
    _check_hold_beside(spec.action, spec.hold, path, report)


def _check_hold_beside(do: str, hold: HoldSpec | None, path: Path, report: Report) -> None:
    if do == "hold" and hold is None:
        report(path, "say who is asked: hold: {approvers: {groups: [...]}}")
    elif do != "hold" and hold is not None:
        report((*path, "hold"), f"nobody is asked where the action is {do}: leave `hold` out")
    elif hold is not None:
        check_hold(hold, (*path, "hold"), report)


def _check_mask(spec: MaskSpec, detectors: frozenset[str], report: Report) -> None:
    path: Path = ("action", "mask")
    if spec == MaskSpec():
        report(path, "this hides nothing: give paths, detectors or columns")
    for at, text in enumerate(spec.paths or ()):
        try:
            parse_path(text)
        except BadPath as error:
            report((*path, "paths", at), f"{text!r} is no path: {error.why}")
    for at, name in enumerate(spec.detectors or ()):
        if name not in detectors:
            report((*path, "detectors", at), f"there is no detector {name!r}{nearest(name, detectors)}")

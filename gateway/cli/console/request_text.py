"""One approval in full, as text for a terminal: the exact request, what it would change, who asked, how long is left.

Everything in it was chosen by whoever asks for approval, and whoever reads it decides. So every line is made
harmless: no control character, no direction override gets through, and no line can look like one of ours, because
each of theirs is indented.
"""

from collections.abc import Iterator

from gateway.cli.console.tables import left, shown_time
from gateway.cli.output import Style
from gateway.console.documents import ApprovalDocument
from gateway.console.words import approvers
from storage.ansi import printable


def approval_text(approval: ApprovalDocument, style: Style) -> Iterator[str]:
    """Lines without line ends."""
    for name, value in _facts(approval, style):
        if value:
            yield f"{name + ':':<12} {printable(value)}"
    for title, text in (("body", approval.call.body), ("would change", approval.call.diff)):
        if text:
            yield f"{title}:"
            yield from (f"    {printable(line)}" for line in text.split("\n"))
    if approval.votes:
        yield "votes:"
        for vote in approval.votes:
            word = "approved" if vote.approve else "denied"
            note = f": {vote.note}" if vote.note else ""
            yield printable(f"    {shown_time(vote.at, style)} {word} by {vote.user}{note}")
    if approval.history:
        yield "before:"
        for past in approval.history:
            when = shown_time(past.requested_at, style)
            yield printable(f"    {when} {past.short_id} {past.state} {past.method} {past.target}")


def _facts(approval: ApprovalDocument, style: Style) -> Iterator[tuple[str, str]]:
    call, who = approval.call, approval.requester
    yield "approval", f"{approval.short_id} ({approval.id})"
    yield (
        "state",
        approval.state + (f", {left(approval.expires_at)} left" if approval.state == "pending" else ""),
    )
    yield "decided", f"by {approval.decided_by}" if approval.decided_by else ""
    yield "note", approval.note
    yield "requester", who.user + (f" ({', '.join(who.groups)})" if who.groups else "")
    yield "issuer", who.issuer
    yield "session", who.session
    yield "source", who.source
    yield "requested", shown_time(approval.requested_at, style)
    yield "rule", ", ".join(approval.rules)
    yield "reason", approval.reason
    yield "approvers", approvers(approval)
    yield "scope", _scope(approval, style)
    yield "method", call.method
    yield "target", call.target
    yield "command", _quoted(call.argv)
    yield "ports", ", ".join(map(str, call.ports))
    yield (
        "kubectl",
        f"{call.kubectl_command} (a hint of the client, not checked)" if call.kubectl_command else "",
    )
    yield "objects", str(call.objects) if call.objects else "unknown"
    yield "digest", approval.digest
    yield "used", f"{approval.uses} times" if approval.uses else ""
    if approval.state == "pending":
        yield "you", _you(approval)


def _scope(approval: ApprovalDocument, style: Style) -> str:
    if approval.covers_until:
        return f"the whole command, until {shown_time(approval.covers_until, style)}"
    wide = approval.widest_scope == "command"
    return "the whole command, or this request only" if wide else "this request only"


def _you(approval: ApprovalDocument) -> str:
    if approval.may_decide:
        return "may decide: kubetape approvals approve|deny " + approval.short_id
    return "asked for it: somebody else has to decide" if approval.is_own else "may see it, and not decide it"


def _quoted(argv: tuple[str, ...]) -> str:
    """As a list, each word in quotes: where one ends and the next begins is what an approver must not guess."""
    return " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in argv)

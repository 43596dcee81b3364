"""A call and its approvers in a few words, for tables and messages. Pure; what others chose is not made harmless here."""

from gateway.console.documents import ApprovalDocument, BundleDocument, CallDocument, GrantDocument


def wants(call: CallDocument) -> str:
    """The call in a few words: delete pods/web-0 -n prod; or method and path where it is no resource."""
    if not call.resource:
        return f"{call.method} {call.target}"
    what = f"{call.resource}/{call.name}" if call.name else call.resource
    words = [call.verb, what, *(["-n", call.namespace] if call.namespace else [])]
    return " ".join([*words, *(["--", *call.argv] if call.argv else [])])


def approvers(asked: ApprovalDocument | GrantDocument | BundleDocument) -> str:
    named = asked.approvers
    people = [*named.users, *(f"group {group}" for group in named.groups)]
    several = f"{named.quorum} of " if named.quorum > 1 else ""
    return several + (", ".join(people) or "nobody")

"""What a held write would do, asked of the API server by a dry run. Conduct; the diff itself is `policy.object_diff`.

A preview is a convenience for the approver and never a reason to fail: what cannot be shown is said in its place.

The trap: a dry run that is not understood as one is a real run. So it is only asked where Kubernetes itself promises
it: its own API groups, on objects and their status and scale. And the server ignores `dryRun` of the query on a DELETE
that has a body: there it goes into the body.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.admission import Admitted
from gateway.errors import UpstreamError
from gateway.policy.object_diff import object_diff
from gateway.services import Services
from gateway.sub_request import Question, ask
from gateway.tape import Tape
from protocol.apicall import Call
from protocol.media import parse_json_object

OWN_GROUPS: Final = frozenset(
    (
        "",
        "admissionregistration.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    )
)
"""Served by kube-apiserver itself, which honours dryRun; an aggregated server need not."""
_WRITES: Final = frozenset(("create", "update", "patch", "delete", "deletecollection"))


@dataclass(frozen=True)
class Preview:
    """diff: masked text; objects: how many the call would touch, 1 where that is not known."""

    diff: str = ""
    objects: int = 1


async def preview(services: Services, tape: Tape, admitted: Admitted, body: bytes) -> Preview:
    """Ask for a dry run and for the object as it is. Raises LogFailed."""
    call = admitted.call
    if not _can_be_tried(call):
        return Preview()
    question = _dry_run(admitted, body)
    if question is None:
        return Preview("(no dry run: the body of this DELETE cannot carry one)\n")
    try:
        before = await _as_it_is(services, tape, admitted)
        status, answer = await ask(services, tape, question)
    except UpstreamError as error:
        return Preview(f"(no dry run: {error})\n")
    return _shown(admitted, before, status, answer)


def _can_be_tried(call: Call) -> bool:
    is_object = call.subresource in ("", "scale", "status")
    return (
        call.is_resource
        and call.verb in _WRITES
        and is_object
        and call.group in OWN_GROUPS
        and not call.dry_run
    )


def _dry_run(admitted: Admitted, body: bytes) -> Question | None:
    call = admitted.call
    content_type = dict(admitted.upstream.headers).get(b"content-type", b"")
    separator = b"&" if b"?" in call.target else b"?"
    target = call.target + separator + b"dryRun=All"
    if call.method == "DELETE" and body:
        options = parse_json_object(body)
        if options is None:
            return None
        body, content_type = msgspec.json.encode({**options, "dryRun": ["All"]}), b"application/json"
    shown = admitted.judgement.masker.target(target)
    return Question("dry-run", admitted.upstream, call.method.encode(), target, body, content_type, shown)


async def _as_it_is(services: Services, tape: Tape, admitted: Admitted) -> bytes:
    call = admitted.call
    if not call.name or call.verb == "create":
        return b""
    target = call.target.partition(b"?")[0]
    question = Question("old-object", admitted.upstream, b"GET", target)
    status, body = await ask(services, tape, question)
    return body if status == 200 else b""


def _shown(admitted: Admitted, before: bytes, status: int, answer: bytes) -> Preview:
    call, masker = admitted.call, admitted.judgement.masker
    after = parse_json_object(masker.request(call, b"application/json", answer)[0]) if answer else None
    old = parse_json_object(masker.request(call, b"application/json", before)[0]) if before else None
    if status >= 400:
        message = after.get("message", "") if after else ""
        return Preview(f"(the API server would refuse it, {status}: {message})\n")
    items = after.get("items") if after else None
    if call.verb == "deletecollection" and isinstance(items, list):
        names = [_name(item) for item in items]
        return Preview("".join(f"- {name}\n" for name in names), len(names))
    return Preview(object_diff(old, None if call.verb == "delete" else after))


def _name(item: object) -> str:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return str(metadata.get("name", "?")) if isinstance(metadata, dict) else "?"

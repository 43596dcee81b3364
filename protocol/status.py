"""Status bodies and Warning headers, as kube-apiserver writes them and kubectl reads them.

Writes the JSON `Status` of every answer that is ours, the headers that go with it and `Warning`
header values; reads the `Status` a container runtime leaves on the error channel of an exec. It
decides nothing: code, reason and wording come from the caller.

The trap: kubectl reliably shows only `message`, raw, on a terminal. So whatever goes into one is
made a single visible line here, bounded, whoever wrote the words in it.
Sources: k8s.io/apimachinery api/errors and util/net (warnings), k8s.io/apiserver
endpoints/handlers/responsewriters, client-go tools/remotecommand (errorDecoderV4).
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from protocol.events import Headers

MAX_MESSAGE_CHARACTERS: Final = 2048
"""Longest message: what client-go shows of an answer it cannot decode, so nothing shows more."""

MAX_DETAIL_CHARACTERS: Final = 253
"""Longest name, group, kind, uid or field in `details`: that of a Kubernetes object name."""

MAX_CAUSES: Final = 16
"""A reader that needs more causes needs the record, not the error."""

MAX_WARNING_BYTES: Final = 256
"""Longest text of one Warning header: kube-apiserver cuts there once it has many."""

MAX_STATUS_BYTES: Final = 1024 * 1024
"""Longest Status read from an error channel: the largest message kubelet lets through at once."""

SUCCESS: Final = b'{"metadata":{},"status":"Success"}'
"""What kubelet says of a command that went well, to the byte (k8s.io/kubelet, remotecommand v4)."""

EXIT_CODE_REASON: Final = "NonZeroExitCode"
EXIT_CODE_CAUSE: Final = "ExitCode"

REASONS: Final[dict[int, str]] = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    408: "Timeout",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    414: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    417: "BadRequest",
    421: "BadRequest",
    422: "Invalid",
    429: "TooManyRequests",
    431: "RequestEntityTooLarge",
    500: "InternalError",
    501: "BadRequest",
    502: "ServiceUnavailable",
    503: "ServiceUnavailable",
    504: "Timeout",
    505: "BadRequest",
}
"""The reason that fits a code when the caller has no better one. Codes that apimachinery has no
reason for get the one whose `Is...` predicate makes clients do the right thing."""


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of `details.causes`. In Go the first field is called Type; on the wire, reason."""

    reason: str = ""
    message: str = ""
    field: str = ""


class Details(msgspec.Struct, frozen=True, omit_defaults=True, rename={"retry_after_s": "retryAfterSeconds"}):
    """What a program may read. kind: the resource, plural, as kube-apiserver fills it."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_s: int = 0  # shown to programs; only the Retry-After header makes client-go retry


class Status(msgspec.Struct, frozen=True):
    """A Status that was read. Texts are as they came: make them visible before showing them."""

    status: str = ""  # "Success", "Failure", or whatever came
    message: str = ""
    reason: str = ""
    details: Details | None = None
    code: int = 0


_SUCCEEDED: Final = Status("Success")


class _Wire(msgspec.Struct, frozen=True, omit_defaults=True):
    """The field order of Go's encoder; clients do not care, people comparing bodies do."""

    kind: str
    apiVersion: str
    metadata: dict[str, str]
    status: str
    message: str = ""
    reason: str = ""
    details: Details | None = None
    code: int = 0


_ENCODER: Final = msgspec.json.Encoder()
_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_UINT: Final = re.compile(r"[0-9]{1,20}", re.ASCII)


def make_visible(text: str, limit: int) -> str:
    """Make any text one line that a terminal shows and does not obey, of at most `limit` characters.

    Controls (C0, C1), bidi and zero-width format characters, line separators and lone surrogates
    become `\\x1b`, `\\u202e` and so on, as text. What is cut off is replaced by "...".
    """
    if len(text) > limit:
        text = text[:limit] + "..."  # cut first: the loop below must not walk a megabyte
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    return text if len(text) <= limit else text[: max(limit - 3, 0)] + "..."[:limit]


def _escape(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, f"\\x{point:02x}")
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def encode_status(
    code: int,
    reason: str,
    message: str,
    *,
    name: str = "",
    group: str = "",
    kind: str = "",
    uid: str = "",
    causes: Iterable[Cause] = (),
    retry_after_s: int | None = None,
) -> bytes:
    """Encode a Status as kube-apiserver does: JSON, empty fields omitted, a newline at the end.

    code: HTTP status; below 400 it is a Success. reason: "" takes the usual one of the code.
    retry_after_s: seconds, also needed in `status_headers` if clients shall retry by themselves.
    """

    def short(text: str) -> str:
        return make_visible(text, MAX_DETAIL_CHARACTERS)

    kept = [
        Cause(short(c.reason), make_visible(c.message, MAX_MESSAGE_CHARACTERS), short(c.field))
        for _, c in zip(range(MAX_CAUSES), causes, strict=False)
    ]
    details = Details(short(name), short(group), short(kind), short(uid), tuple(kept), retry_after_s or 0)
    wire = _Wire(
        kind="Status",
        apiVersion="v1",
        metadata={},
        status="Success" if code < 400 else "Failure",
        message=make_visible(message, MAX_MESSAGE_CHARACTERS),
        reason=reason or (REASONS.get(code, "") if code >= 400 else ""),
        details=None if details == Details() else details,
        code=code,
    )
    # Go's encoder writes these three as escapes, so that no browser sniffs markup out of an error.
    # They occur in JSON only inside strings.
    encoded = _ENCODER.encode(wire)
    return encoded.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026") + b"\n"


def status_headers(body: bytes, *, retry_after_s: int | None = None, warnings: Iterable[str] = ()) -> Headers:
    """The headers of an answer whose body is `body`, made by `encode_status`.

    retry_after_s: client-go replays the request, POSTs included, up to 10 times after that many
    seconds (429 and 5xx only): leave it None unless that is wanted. warnings: plain texts.
    """
    headers = [
        (b"content-type", b"application/json"),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-cache, private"),
        (b"content-length", b"%d" % len(body)),
    ]
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after_s))
    headers.extend((b"warning", encode_warning(text)) for text in warnings)
    return tuple(headers)


def encode_warning(text: str) -> bytes:
    """Encode one Warning header value, `299 - "text"`: the only code kubectl prints.

    The text is made visible, cut at 256 bytes between characters, then quoted.
    """
    visible = make_visible(text, MAX_WARNING_BYTES).encode()
    if len(visible) > MAX_WARNING_BYTES:
        visible = visible[: MAX_WARNING_BYTES - 3].decode(errors="ignore").encode() + b"..."
    quoted = visible.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'299 - "' + quoted + b'"'


def parse_status(data: bytes) -> Status | None:
    """Read a Status from an error channel; None when it is not a JSON object (v1 to v3: plain text).

    As tolerant as Go's decoder where clients depend on it: unknown fields, missing `kind` and
    `metadata`, field names in any case; and beyond it: a field of a wrong type counts as empty.
    """
    if data == SUCCESS:
        return _SUCCEEDED
    if len(data) > MAX_STATUS_BYTES:
        return None
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not isinstance(found, dict):
        return None
    details = _field(found, "details")
    code = _field(found, "code")
    return Status(
        status=_text(found, "status"),
        message=_text(found, "message"),
        reason=_text(found, "reason"),
        details=_parse_details(details) if isinstance(details, dict) else None,
        code=code if isinstance(code, int) and not isinstance(code, bool) else 0,
    )


def _parse_details(found: dict[str, object]) -> Details:
    causes = _field(found, "causes")
    retry = _field(found, "retryAfterSeconds")
    return Details(
        name=_text(found, "name"),
        group=_text(found, "group"),
        kind=_text(found, "kind"),
        uid=_text(found, "uid"),
        causes=tuple(
            Cause(_text(c, "reason"), _text(c, "message"), _text(c, "field"))
            for c in (causes if isinstance(causes, list) else ())
            if isinstance(c, dict)
        ),
        retry_after_s=retry if isinstance(retry, int) and not isinstance(retry, bool) else 0,
    )


def _field(found: dict[str, object], name: str) -> object:
    if name in found:
        return found[name]
    folded = name.lower()
    return next((value for key, value in found.items() if key.lower() == folded), None)


def _text(found: dict[str, object], name: str) -> str:
    value = _field(found, name)
    return value if isinstance(value, str) else ""


def exit_code(status: Status) -> int | None:
    """The exit code a Status on an exec's error channel stands for, as client-go computes it.

    Success: 0. Failure for reason NonZeroExitCode: the first ExitCode cause, 0 to 255. Anything
    else (no such cause, no such number, another failure): None, for which kubectl exits 1.
    """
    if status.status == "Success":
        return 0
    if status.status != "Failure" or status.reason != EXIT_CODE_REASON or status.details is None:
        return None
    for cause in status.details.causes:
        if cause.reason == EXIT_CODE_CAUSE:
            number = int(cause.message) if _UINT.fullmatch(cause.message) else 256
            return number if number <= 255 else None
    return None


def unauthorized_message(why: str = "") -> str:
    """The message of a 401; kubectl wraps it: `You must be logged in to the server (...)`."""
    return f"Unauthorized: {why}" if why else "Unauthorized"


def forbidden_message(why: str, *, resource: str = "", group: str = "", name: str = "") -> str:
    """The message of a 403 in the words and order of RBAC: `pods "x" is forbidden: <why>`.

    resource: plural, without its subresource; "" for a path that is no resource.
    """
    if not resource:
        return f"forbidden: {why}"
    qualified = f"{resource}.{group}" if group else resource
    return f"{qualified} {_quote(name)} is forbidden: {why}" if name else f"{qualified} is forbidden: {why}"


def cannot(
    user: str,
    verb: str,
    *,
    resource: str = "",
    subresource: str = "",
    group: str = "",
    namespace: str = "",
    path: str = "",
) -> str:
    """The why of a 403 as kube-apiserver words it: `User "u" cannot list resource "pods" in ...`.

    Without a resource it speaks of the path. `&`, `<` and `>` are escaped as kube-apiserver does.
    """
    if not resource:
        words = f"User {_quote(user)} cannot {verb} path {_quote(path)}"
    else:
        full = f"{resource}/{subresource}" if subresource else resource
        scope = f"in the namespace {_quote(namespace)}" if namespace else "at the cluster scope"
        words = (
            f"User {_quote(user)} cannot {verb} resource {_quote(full)} in API group {_quote(group)} {scope}"
        )
    return words.translate(_HTML)


def _quote(text: str) -> str:
    """Go's %q, as far as names need it; controls are made visible with the whole message."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

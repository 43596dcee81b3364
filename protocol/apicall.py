"""Method and request target -> `Call`: what kube-apiserver will understand, and the target to send it.

Reads a target exactly as the server's RequestInfo does, and refuses every target that another parser
could read differently: empty and dot segments, encoded slashes, bad escapes, repeated parameters and so
on. Nothing legitimate needs them, and a rule on the text of a path is bypassed by each of them. Does not
judge whether the call is allowed or exists.

The trap: the server decodes a path before it splits it, ignores slashes at its end, drops query pairs it
cannot read, and takes the first of repeated ones. Below `.../proxy/` all of that belongs to a backend:
that remainder and its query are kept as they came.
Source: k8s.io/apiserver, endpoints/request NewRequestInfo; Go net/url; k8s.io/api/core/v1 option types.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

import msgspec

from protocol import selectors
from protocol.errors import RefusedTarget
from protocol.query import (
    BAD_ESCAPE,
    Pairs,
    canonical_query,
    encode_query,
    first_values,
    is_true,
    parse_foreign_query,
    parse_query,
)

METHOD_VERBS: Final[Mapping[bytes, str]] = {
    b"GET": "get",
    b"HEAD": "get",
    b"POST": "create",
    b"PUT": "update",
    b"PATCH": "patch",
    b"DELETE": "delete",
    b"OPTIONS": "",
}
"""The known methods, and the verb each means on a resource."""

_PATH_VERBS: Final = frozenset(("watch", "proxy"))
_NAMESPACE_SUBRESOURCES: Final = frozenset(("status", "finalize"))
_COLLECTION_VERBS: Final = frozenset(("list", "watch", "deletecollection"))
_STREAMS: Final = frozenset(("exec", "attach", "portforward"))
_LONG_RUNNING_SUBRESOURCES: Final = frozenset(("attach", "exec", "proxy", "log", "portforward"))
_MUTATING_METHODS: Final = frozenset(("POST", "PUT", "PATCH", "DELETE"))

# What Go's net/url leaves unescaped in a path, beside letters, digits and "-_.~".
_PATH_SAFE: Final = "$&+,:=@~"
# Such segments, none empty and none starting with a dot: nothing to decode, check or encode.
_PLAIN_PATH: Final = re.compile(rb"(?:/[A-Za-z0-9_~$&+,:=@-][A-Za-z0-9_~$&+,:=@.-]*)+/?")
_TARGET_BYTES: Final = re.compile(rb"[!\"$-~]*")  # visible ASCII without "#"
_REFUSED_IN_SEGMENT: Final = re.compile("[/\\\\%;\x00-\x1f\x7f-\x9f]")
_PORT: Final = re.compile(r"[0-9]{1,5}")


class Call(msgspec.Struct, frozen=True, dict=True):
    """One API request as the server's authorizer sees it, and what else policy may ask about it.

    Strings are "" and flags False where they do not apply. Paths are decoded; `target` is canonical: it
    has the same attributes, whoever parses it, and is the only target that may go upstream. What follows from its
    fields is worked out once: a call is remembered (`known_calls`), and each exchange asks again and again.
    """

    method: str
    verb: str  # "" for OPTIONS on a resource; not a resource: the lower-case method
    is_resource: bool
    path: str
    target: bytes
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""  # a call on a Namespace carries its name here too
    name: str = ""  # list, watch: the one metadata.name its field selector requires
    subpath: str = ""  # below a proxy subresource, as it came: "" or "/..."
    query: tuple[tuple[str, str], ...] = ()  # in the client's order
    label_selector: str = ""  # the selectors: of collections only, and not of /watch/ paths
    field_selector: str = ""
    watch: bool = False
    follow: bool = False  # pods/log
    # Every `dryRun` is "All". The server ignores it on DELETE when there is a body, which then decides.
    dry_run: bool = False
    container: str = ""  # pods/exec, pods/attach, pods/log
    argv: tuple[str, ...] = ()  # pods/exec
    ports: tuple[int, ...] = ()  # pods/portforward over legacy WebSocket; else they come in the tunnel
    stdin: bool = False  # pods/exec and pods/attach, as are the next three
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @cached_property
    def is_long_running(self) -> bool:
        """The server puts no deadline on it; it cuts every other call after a minute."""
        return (
            self.verb in _PATH_VERBS
            or self.subresource in _LONG_RUNNING_SUBRESOURCES
            or (not self.is_resource and self.path.startswith("/debug/pprof/"))
        )

    @cached_property
    def stream_kind(self) -> str:
        """The subresource of a pod whose streams we can read, whatever the method, or ""."""
        is_of_pod = self.group == "" and self.resource == "pods" and self.verb not in _PATH_VERBS
        return self.subresource if is_of_pod and self.subresource in _STREAMS else ""

    @cached_property
    def is_connect(self) -> bool:
        """It opens a way to something behind the API; the method does not matter, a GET runs commands too."""
        return self.subresource in _STREAMS or self.subresource == "proxy" or self.verb == "proxy"

    @cached_property
    def is_mutation(self) -> bool:
        return self.method in _MUTATING_METHODS

    @cached_property
    def is_secret_read(self) -> bool:
        return self.resource == "secrets" and self.group == "" and self.verb in ("get", "list", "watch")

    @cached_property
    def durability_class(self) -> int:
        """1: the intent is durable before a byte goes upstream; 2: before the response head goes down."""
        return 1 if self.is_mutation or self.is_connect or self.is_secret_read else 2


class _Attributes(NamedTuple):
    """What a path alone says. head_parts: path segments up to and including the last that counts."""

    verb: str
    group: str
    version: str
    namespace: str
    resource: str
    name: str
    subresource: str
    is_verb_in_path: bool
    head_parts: int


def parse_call(method: bytes, target: bytes) -> Call:
    """Read one request line.

    target: origin-form, the raw bytes. Raises RefusedTarget (405: unknown method) for whatever has no
    single reading; nothing of it may go upstream then.
    """
    if method not in METHOD_VERBS:
        raise RefusedTarget("the method is not one the API server knows", status=405)
    if not target.startswith(b"/"):
        raise RefusedTarget("the request target does not start with '/'")
    if not _TARGET_BYTES.fullmatch(target):
        raise RefusedTarget("the request target contains a control, a space, '#' or a non-ASCII byte")
    raw_path, _, raw_query = target.partition(b"?")
    raw_segments = raw_path[1:].split(b"/")
    segments = _decode_segments(raw_path)
    attributes = _read_path(segments, METHOD_VERBS[method])
    if attributes is None:
        return _non_resource_call(method.decode(), raw_path, segments, raw_query)
    if attributes.subresource == "proxy" and not attributes.is_verb_in_path:
        return _proxy_call(method.decode(), attributes, segments, raw_segments, raw_query)
    path, canonical_path = _check_path(raw_path, segments)
    pairs = parse_query(raw_query)
    target = _join_target(canonical_path, canonical_query(raw_query, pairs))
    return _resource_call(method.decode(), attributes, path, target, pairs)


def _decode_segments(raw_path: bytes) -> list[str]:
    """Split first, then decode: what an encoded slash would become is refused by `_check_segment`."""
    if b"%" not in raw_path:
        return raw_path[1:].decode("ascii").split("/")
    if BAD_ESCAPE.search(raw_path):
        raise RefusedTarget("the path contains a malformed percent escape")
    return [
        unquote_to_bytes(segment).decode("utf-8", "surrogateescape") for segment in raw_path[1:].split(b"/")
    ]


def _read_path(segments: list[str], verb: str) -> _Attributes | None:
    """RequestInfo on a path; None: not a resource. Holds only once the segments are checked."""
    size = len(segments)
    if segments[-1] == "":
        size -= 1  # one slash at the end means nothing to the server
    at = {"api": 1, "apis": 2}.get(segments[0], size)
    if size < at + 2:
        return None
    group = segments[1] if at == 2 else ""
    version = segments[at]
    at += 1
    is_verb_in_path = segments[at] in _PATH_VERBS
    if is_verb_in_path:
        verb = segments[at]
        at += 1
        if at == size:
            raise RefusedTarget("the path names no resource behind 'watch' or 'proxy'")
    namespace = ""
    if segments[at] == "namespaces" and at + 1 < size:
        namespace = segments[at + 1]
        if at + 2 < size and segments[at + 2] not in _NAMESPACE_SUBRESOURCES:
            at += 2
    name = segments[at + 1] if at + 1 < size else ""
    subresource = segments[at + 2] if at + 2 < size and verb != "proxy" else ""
    return _Attributes(
        verb, group, version, namespace, segments[at], name, subresource, is_verb_in_path, at + 3
    )


def _check_path(raw_path: bytes, segments: list[str]) -> tuple[str, bytes]:
    """The decoded path and its canonical encoding, once no segment can be read in two ways."""
    if _PLAIN_PATH.fullmatch(raw_path):
        return raw_path.decode("ascii"), raw_path
    for segment in segments:
        _check_segment(segment)
    return "/" + "/".join(segments), _encode_segments(segments)


def _check_segment(segment: str) -> None:
    if segment in ("", ".", ".."):
        raise RefusedTarget("the path contains an empty or a dot segment")
    if _REFUSED_IN_SEGMENT.search(segment):
        raise RefusedTarget("a path segment contains '/', '\\', '%', ';' or a control, plain or encoded")
    try:
        segment.encode()
    except UnicodeEncodeError:
        raise RefusedTarget("the path is not UTF-8") from None


def _encode_segments(segments: list[str]) -> bytes:
    return b"/" + "/".join(quote(segment, safe=_PATH_SAFE) for segment in segments).encode("ascii")


def _non_resource_call(method: str, raw_path: bytes, segments: list[str], raw_query: bytes) -> Call:
    """A path outside the resources. A single slash at its end is legitimate: client libraries send it."""
    pairs = parse_query(raw_query)
    if raw_path == b"/":
        path, canonical_path = "/", b"/"
    else:
        slash = raw_path.endswith(b"/")
        path, canonical_path = _check_path(raw_path.removesuffix(b"/"), segments[:-1] if slash else segments)
        if slash:
            path, canonical_path = path + "/", canonical_path + b"/"
    return Call(
        method=method,
        verb=method.lower(),
        is_resource=False,
        path=path,
        target=_join_target(canonical_path, encode_query(pairs)),
        query=tuple(pairs),
    )


def _proxy_call(
    method: str, attributes: _Attributes, segments: list[str], raw_segments: list[bytes], raw_query: bytes
) -> Call:
    """Everything up to `proxy` is ours to check; the remainder and the query are the backend's."""
    head = segments[: attributes.head_parts]
    for segment in head:
        _check_segment(segment)
    remainder = b"".join(b"/" + segment for segment in raw_segments[attributes.head_parts :])
    decoded = unquote_to_bytes(remainder).decode("utf-8", "backslashreplace")
    canonical_path = _encode_segments(head) + remainder
    return Call(
        method=method,
        verb=attributes.verb,
        is_resource=True,
        path="/" + "/".join(head) + decoded,
        target=_join_target(canonical_path, raw_query),
        group=attributes.group,
        version=attributes.version,
        resource=attributes.resource,
        subresource=attributes.subresource,
        namespace=attributes.namespace,
        name=attributes.name,
        subpath=remainder.decode("ascii"),
        query=tuple(parse_foreign_query(raw_query)),
    )


def _resource_call(method: str, attributes: _Attributes, path: str, target: bytes, pairs: Pairs) -> Call:
    if path.endswith("/"):
        raise RefusedTarget("the path of a resource ends with '/'")
    first = first_values(pairs)
    verb, name = attributes.verb, attributes.name
    if name == "" and verb == "get":
        verb = "watch" if is_true(first.get("watch")) else "list"
        name = _selected_name(first)
    elif name == "" and verb == "delete":
        verb = "deletecollection"
    has_selectors = verb in _COLLECTION_VERBS and not attributes.is_verb_in_path
    subresource = attributes.subresource
    on_pod = subresource if attributes.resource == "pods" and attributes.group == "" else ""
    is_terminal = on_pod in ("exec", "attach")
    dry_run = [value for key, value in pairs if key == "dryRun"]
    return Call(
        method=method,
        verb=verb,
        is_resource=True,
        path=path,
        target=target,
        group=attributes.group,
        version=attributes.version,
        resource=attributes.resource,
        subresource=subresource,
        namespace=attributes.namespace,
        name=name,
        query=tuple(pairs),
        label_selector=first.get("labelSelector", "") if has_selectors else "",
        field_selector=first.get("fieldSelector", "") if has_selectors else "",
        watch=verb == "watch",
        follow=on_pod == "log" and is_true(first.get("follow")),
        dry_run=bool(dry_run) and all(value == "All" for value in dry_run),
        container=first.get("container", "") if is_terminal or on_pod == "log" else "",
        argv=tuple(value for key, value in pairs if key == "command") if on_pod == "exec" else (),
        ports=_parse_ports(pairs) if on_pod == "portforward" else (),
        stdin=is_terminal and is_true(first.get("stdin")),
        stdout=is_terminal and is_true(first.get("stdout")),
        stderr=is_terminal and is_true(first.get("stderr")),
        tty=is_terminal and is_true(first.get("tty")),
    )


def _selected_name(first: Mapping[str, str]) -> str:
    """The name a list is restricted to by its field selector, if all list options decode."""
    selector = first.get("fieldSelector", "")
    if "metadata.name" not in selector:
        return ""
    try:
        name = selectors.required_field(selector, "metadata.name")
    except selectors.InvalidSelector:
        return ""
    if not name or name in (".", "..") or "/" in name or "%" in name:
        return ""
    if not all(selectors.is_int64(first.get(key, "0")) for key in ("limit", "timeoutSeconds")):
        return ""
    return name if selectors.is_label_selector(first.get("labelSelector", "")) else ""


def _parse_ports(pairs: Pairs) -> tuple[int, ...]:
    ports = []
    for key, value in pairs:
        for port in value.split(",") if key == "ports" else ():
            if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
                raise RefusedTarget("a port of the query is not a number from 1 to 65535")
            ports.append(int(port))
    return tuple(ports)


def _join_target(canonical_path: bytes, query: bytes) -> bytes:
    return canonical_path + b"?" + query if query else canonical_path

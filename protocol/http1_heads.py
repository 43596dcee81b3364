"""One HTTP/1.1 head: bytes to `RequestHead` or `ResponseHead`. No state; writing is `http1_head_writing`.

Strict where HTTP lets a recipient be lenient: whatever two parsers could read in two ways is
refused. Of a received head every field about the connection is taken out, because it is expressed
in the event itself (authority, content_length, upgrade, expects_continue, wants_close); all other
fields stay, in wire order.
The trap: a field is recognised by its name in lower case; a name with `_` is another name, and
refused in requests. Source: RFC 9112 sections 2 to 6, RFC 9110 sections 7.6.1, 7.8 and 10.1.1.
"""

import re
from collections.abc import Callable
from operator import methodcaller
from typing import Final, NoReturn

import msgspec

from protocol.errors import RemoteProtocolError, TooLarge
from protocol.events import RequestHead, ResponseHead
from protocol.headers import (
    METHODS,
    find_repeated,
    is_field_name,
    is_request_field_name,
    parse_authority,
    parse_connection,
    parse_content_length,
    split_list,
)
from protocol.http1_names import TAKEN_FROM_REQUEST, TAKEN_FROM_RESPONSE, USUAL_NAMES


class Limits(msgspec.Struct, frozen=True):
    """What one peer may send outside of bodies. Whatever exceeds one fails as `TooLarge`."""

    max_head_bytes: int  # from the first byte to the empty line, both included
    max_target_bytes: int  # of a request
    max_fields: int  # lines after the first
    max_pipelined_bytes: int  # received after a request and before its response is complete


REQUEST_LIMITS: Final = Limits(
    # An exec command is part of the target and a bearer token is up to 16 KiB; 32 KiB for the one
    # leave 32 KiB for the other and the rest. kube-apiserver would take 1 MiB of anybody.
    max_head_bytes=65_536,
    max_target_bytes=32_768,
    max_fields=100,
    # two full heads: pipelining is legal and rare; nobody may park megabytes behind a watch
    max_pipelined_bytes=131_072,
)

RESPONSE_LIMITS: Final = Limits(
    # Go clients read 1 MiB (http.Transport), so kubectl would take it as well
    max_head_bytes=1_048_576,
    max_target_bytes=0,
    max_fields=1000,
    max_pipelined_bytes=0,
)

UPGRADE_TOKENS: Final = frozenset({b"websocket", b"spdy/3.1"})
"""What kube-apiserver switches to. h2c above all is not: it hides requests from this parser."""

_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/([0-9]\.[0-9])")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?")
_CODINGS: Final = frozenset(
    {b"chunked", b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"identity"}
)

_halve: Final = methodcaller("partition", b":")
_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()


def parse_request_line(line: bytes, limits: Limits) -> tuple[bytes, bytes]:
    """`METHOD target HTTP/1.1` -> (method, target).

    Raises RemoteProtocolError: 405 for a method we do not serve, 414, 505, else 400.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("the request line is malformed")
    method, target, version = match.groups()
    if version != b"1.1":
        raise RemoteProtocolError("the HTTP version is not 1.1", status_hint=505)
    if method not in METHODS:
        raise RemoteProtocolError("the method is unknown", status_hint=405)
    if len(target) > limits.max_target_bytes:
        raise TooLarge(f"the target is longer than {limits.max_target_bytes} bytes", status_hint=414)
    # absolute-form names a second host, a fragment never belongs on the wire
    if target[0] != 0x2F or b"#" in target:
        raise RemoteProtocolError("the target does not start with / or has a fragment")
    return method, target


def parse_request_head(method: bytes, target: bytes, lines: list[bytes], limits: Limits) -> RequestHead:
    """Build the head from its first line, already parsed, and its field lines.

    Raises RemoteProtocolError: 417 for an Expect we cannot meet, 431, 501 for a coding other than
    chunked, else 400.
    """
    headers, taken = _parse_fields(lines, limits, TAKEN_FROM_REQUEST, is_request_field_name)
    if len(dict(headers)) + len(taken) < len(lines):
        _refuse_repeated(headers, taken)
    authority = parse_authority(taken[b"host"][0]) if b"host" in taken else None
    if authority is None:
        raise RemoteProtocolError("Host is missing or is not host[:port]")
    length = _parse_body_length(taken)
    if length is None and b"transfer-encoding" not in taken:
        length = 0
    options = parse_connection(taken[b"connection"]) if b"connection" in taken else _NO_OPTIONS
    upgrade = _parse_upgrade(taken, options)
    if upgrade and length != 0:
        raise RemoteProtocolError("an upgrade request has a body")
    expect = taken.get(b"expect")
    if expect is not None and expect[0].lower() != b"100-continue":
        raise RemoteProtocolError("Expect is not 100-continue", status_hint=417)
    return RequestHead(
        method=method,
        target=target,
        authority=authority,
        headers=tuple(headers),
        content_length=length,
        upgrade=upgrade,
        expects_continue=expect is not None and length != 0,
        wants_close=b"close" in options,
    )


class ReceivedHead(msgspec.Struct, frozen=True):
    """A received response head with what a client machine must know to go on."""

    head: ResponseHead
    chunked: bool
    closes: bool  # the server will close after this response
    switches_to: bytes = b""  # of a 101: the token in lower case


def parse_status_line(line: bytes) -> int:
    """`HTTP/1.1 200 OK` -> 200. Raises RemoteProtocolError for anything outside 100 to 599."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("the status line is malformed or not HTTP/1.1")
    return int(match[1])


def parse_response_head(status: int, lines: list[bytes], limits: Limits) -> ReceivedHead:
    """Build the head from its status and its field lines. Raises RemoteProtocolError.

    A 101 keeps `connection` and `upgrade`, which belong to the handshake; any other head loses
    them, with every field that Connection names.
    """
    headers, taken = _parse_fields(lines, limits, TAKEN_FROM_RESPONSE, is_field_name)
    length = _parse_body_length(taken)
    chunked = b"transfer-encoding" in taken
    if (status < 200 or status == 204) and (length or chunked):
        raise RemoteProtocolError(f"a {status} response announces a body")
    options = _NO_OPTIONS
    if b"connection" in taken:
        options = frozenset(option.lower() for option in split_list(taken[b"connection"]))
    switches_to = b""
    if status == 101:
        if b"upgrade" in options:
            switches_to = b", ".join(taken.get(b"upgrade", ())).lower()
        headers += [(name, value) for name in (b"connection", b"upgrade") for value in taken.get(name, ())]
    elif not options <= {b"close", b"keep-alive"}:
        headers = [field for field in headers if field[0] not in options]
    head = ResponseHead(status=status, headers=tuple(headers), content_length=length)
    return ReceivedHead(head, chunked, b"close" in options, switches_to)


def _parse_fields(
    lines: list[bytes], limits: Limits, take: frozenset[bytes], is_name: Callable[[bytes], bool]
) -> tuple[list[tuple[bytes, bytes]], dict[bytes, list[bytes]]]:
    """Fields that stay, in wire order, and values of those in `take`, by name.

    lines: free of control bytes, as `Intake.take_fields` gives them.
    """
    kept: list[tuple[bytes, bytes]] = []
    taken: dict[bytes, list[bytes]] = {}
    if len(lines) > limits.max_fields:
        raise TooLarge(f"there are more than {limits.max_fields} fields", status_hint=431)
    for spelling, colon, value in map(_halve, lines):
        name = USUAL_NAMES.get(spelling)
        if name is None:
            name = spelling.lower()
            if not is_name(name):
                _refuse_line(spelling)
        if not colon:
            _refuse_line(spelling)
        value = value.strip(b" \t")
        if name in take:
            taken.setdefault(name, []).append(value)
        else:
            kept.append((name, value))
    return kept, taken


def _refuse_line(spelling: bytes) -> NoReturn:
    """spelling: of its name, or all of a line that has no colon."""
    if spelling[:1] in (b" ", b"\t"):
        raise RemoteProtocolError("a field line is folded")
    raise RemoteProtocolError("a field is not `name: value`, or its name has a _")


def _refuse_repeated(kept: list[tuple[bytes, bytes]], taken: dict[bytes, list[bytes]]) -> None:
    names = [*(name for name, _ in kept), *(name for name, values in taken.items() for _ in values)]
    repeated = find_repeated(names)
    if repeated is not None:
        raise RemoteProtocolError(f"{repeated.decode('ascii')} comes more than once")


def _parse_body_length(taken: dict[bytes, list[bytes]]) -> int | None:
    """Content-Length in bytes, or None where there is none; then the body may be chunked."""
    codings = taken.get(b"transfer-encoding")
    lengths = taken.get(b"content-length")
    if codings is not None:
        if lengths is not None:
            raise RemoteProtocolError("there are both Content-Length and Transfer-Encoding")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            _refuse_codings(codings)
        return None
    if lengths is None:
        return None
    length = parse_content_length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise RemoteProtocolError("Content-Length is not one plain decimal number")
    return length


def _refuse_codings(codings: list[bytes]) -> NoReturn:
    """501 for an honest use of codings we do not have, 400 for any attempt to blur chunked."""
    names = [name.lower() for name in split_list(codings)]
    honest = bool(names) and _CODINGS.issuperset(names) and names.count(b"chunked") <= 1 and len(codings) == 1
    raise RemoteProtocolError(
        "Transfer-Encoding is not exactly chunked",
        status_hint=501 if honest and names != [b"chunked"] else 400,
    )


def _parse_upgrade(taken: dict[bytes, list[bytes]], options: frozenset[bytes]) -> bytes:
    """The token of an upgrade request in lower case, or b"".

    An Upgrade we do not know is refused even where Connection does not activate it: the next hop
    may not look. `Connection: upgrade` alone is what some proxies add to every request.
    """
    if b"upgrade" not in taken:
        return b""
    token = taken[b"upgrade"][0].lower()
    if token not in UPGRADE_TOKENS:
        raise RemoteProtocolError("Upgrade is neither websocket nor SPDY/3.1")
    return token if b"upgrade" in options else b""

"""HTTP/1.1 messages as bytes: what must be refused with which status, and what must be accepted.

The refused ones follow the catalogues of request smuggling (CL.TE, TE.CL, TE.TE, 0.CL, TERM.EXT,
EXT.TERM, header injection) and of strictness probes; each row is one variant. A label says what is
wrong, the bytes are the whole message.
"""

from typing import Final, NamedTuple


class Refused(NamedTuple):
    label: str
    wire: bytes
    status: int = 400


def get(*fields: bytes, target: bytes = b"/api/v1/pods", host: bytes = b"Host: k8s.example") -> bytes:
    """A GET with a valid Host and these field lines."""
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", host, *fields, b"", b""])


def post(*fields: bytes, body: bytes = b"") -> bytes:
    """A POST with a valid Host, these field lines and what follows the head."""
    return b"\r\n".join([b"POST /api/v1/pods HTTP/1.1", b"Host: k8s.example", *fields, b"", b""]) + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


def line(request_line: bytes) -> bytes:
    return request_line + b"\r\nHost: k8s.example\r\n\r\n"


def _length_with_chunked() -> list[Refused]:
    orders = [
        (b"Content-Length: 6", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 6"),
        (b"content-length: 0", b"transfer-encoding: chunked"),
        (b"CONTENT-LENGTH: 5", b"TRANSFER-ENCODING: CHUNKED"),
        (b"Content-Length: 6", b"Transfer-Encoding: identity"),
        (b"Content-Length: 6", b"Transfer-Encoding: xchunked"),
        (b"Content-Length: 6", b"Transfer-Encoding:"),
        (b"Transfer-Encoding: gzip", b"Content-Length: 6"),
    ]
    return [Refused(f"H1 {a!r} {b!r}", post(a, b, body=b"0\r\n\r\nX")) for a, b in orders]


TRANSFER_ENCODINGS: Final = [
    b"xchunked", b"chunked,", b",chunked", b"chunked, chunked", b"chunked\x0b", b"\x0bchunked", b"chunked\x0c",
    b"chunked\x00", b"chun\x00ked", b'"chunked"', b"'chunked'", b"chunked;q=1", b"chunked; foo=bar", b"chunke",
    b"chunkedd", b"chunk ed", b"chunked gzip", b"cow", b"cow, chunked", b"chunked, cow", b"", b"chunked\xa0", b"\xa0chunked",
    b"chunked\xff", b"\xef\xbb\xbfchunked", b"chun\xe2\x84\xaaed", b"chunked/1.1", b"chunked=", b"x-chunked", b"=chunked",
    b"{chunked}", b"chunked\\",
]  # fmt: skip

HONEST_CODINGS: Final = [
    b"gzip",
    b"gzip, chunked",
    b"deflate, chunked",
    b"identity",
    b"compress",
    b"chunked, gzip",
]

CONTENT_LENGTHS: Final = [
    b"3, 3", b"3,4", b"+3", b"-3", b"-0", b"003", b"00", b"0x3", b"0X3", b"1_0", b"", b"3 3", b"3;", b"3.0", b"3e0",
    b"1" * 17, b"9" * 30, b"18446744073709551619", b"\xef\xbc\x91\xef\xbc\x92", b"\xd9\xa3", b"3\x0b", b"\x0c3", b"'3'",
    b'"3"', b"three", b"3a", b"a3", b"3\x00", b"0b11", b"0o3", b"3,", b",3",
]  # fmt: skip

HOSTS: Final = [
    b"", b"x/../y z", b"user@host", b"user:pass@host", b"a b", b"a:b", b"a:", b"a:0", b"a:065", b"a:65536", b"a:999999",
    b"a:+80", b"a:80:80", b":443", b"[::1", b"::1", b"[::1]x", b"[::g]", b"[1.2.3.4]", b"[::1%25eth0]", b"[]", b"[:::]",
    b"a,b", b"a, b", b"http://a", b"a/", b"a?x", b"a#x", b"a\\b", b"a%2eb", b"%61", b"a..b", b".a", b"\xc3\xa9", b"a;b", b"a'b",
    b"*", b"(a)", b"a" * 256, b"a=b",
]  # fmt: skip

FIELD_LINES: Final = [  # H4, H6, N5: not `name: value`
    b" X: folded", b"\tX: folded", b"X : blank", b"X\t: tab", b": empty", b"no colon", b"X\x0b: vt", b"X(y): paren",
    b"X/y: slash", b'X"y: quote', b"X@y: at", b"X[y]: bracket", b"X{y}: brace", b"X\\y: backslash", b"X,y: comma",
    b"X;y: semicolon", b"X=y: equals", b"X?y: question", b"X<y>: angle", b"X y: blank", b"X\x00y: nul", b"X\x7fy: del",
    b"X\xe9: latin", b"\xe2\x84\xaaey: kelvin", b"X_Y: underscore", b"Impersonate_User: root", b"Content_Length: 3",
    b"Transfer_Encoding: chunked", b"Authorization_: x", b"_: x",
]  # fmt: skip

FIELD_VALUES: Final = [bytes([b]) for b in (*range(0x00, 0x09), *range(0x0B, 0x0D), *range(0x0E, 0x20), 0x7F)]

REQUEST_LINES: Final = [  # H14, H15
    (b"GET /", 400), (b"GET", 400), (b"", 400), (b"GET / ", 400), (b"GET / HTTP", 400), (b"GET / HTTP/", 400),
    (b"GET / HTTP/1", 400), (b"GET / HTTP/1.", 400), (b"GET / HTTP/.1", 400), (b"GET / HTTP/11", 400),
    (b"GET / HTTP/1.1.1", 400), (b"GET / HTTP/01.1", 400), (b"GET / HTTP/1.10", 400), (b"GET / http/1.1", 400),
    (b"GET / HTTP/1.1 ", 400), (b"GET / HTTP /1.1", 400), (b"GET / HTTPS/1.1", 400), (b"GET / HTTP/1,1", 400),
    (b"GET / HTTP/+1.1", 400), (b"GET / HTTP/1.1\x00", 400), (b"GET / HTTP/\xef\xbc\x91.1", 400),
    (b"GET / HTTP/1.0", 505), (b"GET / HTTP/0.9", 505), (b"GET / HTTP/1.2", 505), (b"GET / HTTP/1.9", 505),
    (b"GET / HTTP/2.0", 505), (b"GET / HTTP/3.0", 505), (b"GET / HTTP/0.0", 505), (b"PRI * HTTP/2.0", 505),
    (b"get / HTTP/1.1", 405), (b"Get / HTTP/1.1", 405), (b"GETS / HTTP/1.1", 405), (b"G!T / HTTP/1.1", 405),
    (b"TRACE / HTTP/1.1", 405), (b"CONNECT a:443 HTTP/1.1", 405), (b"CONNECT / HTTP/1.1", 405), (b"LINK / HTTP/1.1", 405),
    (b"PROPFIND / HTTP/1.1", 405), (b"M-SEARCH / HTTP/1.1", 405), (b"BREW / HTTP/1.1", 405), (b"post / HTTP/1.1", 405),
    (b" GET / HTTP/1.1", 400), (b"\tGET / HTTP/1.1", 400), (b"GET  / HTTP/1.1", 400), (b"GET /  HTTP/1.1", 400),
    (b"GET\t/ HTTP/1.1", 400), (b"GET /\tHTTP/1.1", 400), (b"GET\x0b/ HTTP/1.1", 400), (b"GET / x HTTP/1.1", 400),
    (b"GET /a b HTTP/1.1", 400), (b"G\x00T / HTTP/1.1", 400), (b"G(T / HTTP/1.1", 400), (b"G/T / HTTP/1.1", 400),
    (b"GET: / HTTP/1.1", 400), (b"G\xc9T / HTTP/1.1", 400), (b"\xef\xbb\xbfGET / HTTP/1.1", 400),
    (b"GET http://evil/a HTTP/1.1", 400), (b"GET https://k8s.example/ HTTP/1.1", 400), (b"GET k8s.example/ HTTP/1.1", 400),
    (b"GET ?a=b HTTP/1.1", 400), (b"GET #a HTTP/1.1", 400), (b"GET /#a HTTP/1.1", 400), (b"GET /a?b#c HTTP/1.1", 400),
    (b"GET * HTTP/1.1", 400), (b"OPTIONS * HTTP/1.1", 400), (b"GET \\a HTTP/1.1", 400), (b"GET .. HTTP/1.1", 400),
    (b"GET a:443 HTTP/1.1", 400), (b"GET /\x00 HTTP/1.1", 400), (b"GET /\x7f HTTP/1.1", 400), (b"GET /\x1f HTTP/1.1", 400),
    (b"GET /\xe9 HTTP/1.1", 400), (b"GET /\xc3\xa9 HTTP/1.1", 400), (b"GET /a\x0bb HTTP/1.1", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400), (b"\x80.\x01\x00\x02", 400), (b"{}", 400),
]  # fmt: skip

CHUNKS: Final = [  # H7 to H10: what follows the head of a chunked request
    b"0x3\r\nabc\r\n0\r\n\r\n", b"+3\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n", b"1_0\r\n", b" 3\r\nabc\r\n0\r\n\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n", b"3\t\r\nabc\r\n0\r\n\r\n", b"\r\n3\r\nabc\r\n0\r\n\r\n", b"g\r\n", b"3h\r\nabc\r\n", b"\xef\xbc\x93\r\nabc\r\n",
    b"000000003\r\nabc\r\n0\r\n\r\n", b"0000000000000000003\r\nabc\r\n0\r\n\r\n", b"FFFFFFFFF\r\n", b"fffffffffffffffff\r\n",
    b"10000000000000003\r\nabc\r\n0\r\n\r\n", b"3\x00\r\nabc\r\n", b"3,\r\nabc\r\n", b"3.0\r\nabc\r\n", b"'3'\r\nabc\r\n",
    b"3;a\r\nabc\r\n0\r\n\r\n", b"3;a=b\r\nabc\r\n0\r\n\r\n", b"3;\r\nabc\r\n0\r\n\r\n", b"3 ;a\r\nabc\r\n0\r\n\r\n",
    b"3;a\nb\r\nabc\r\n0\r\n\r\n", b"3;a\rb\r\nabc\r\n0\r\n\r\n", b"3;\nabc\r\n0\r\n\r\n", b"3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
    b"0;a\r\n\r\n", b"0;\r\n\r\n", b"3\nabc\r\n0\r\n\r\n", b"3\rabc\r\n0\r\n\r\n", b"3\r\r\nabc\r\n0\r\n\r\n", b"3\n\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabcXX0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc\r0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nab\r\n0\r\n\r\n",
    b"3\r\nabc0\r\n\r\n", b"3\r\nabc\r\n\r\n0\r\n\r\n", b"3\r\nabc\r\n;\r\n", b"3\r\nabc\r\n0\n\r\n", b"3\r\nabc\r\n0\r\nX",
    b"0\r\nX: y\r\n\r\n", b"0\r\nImpersonate-User: root\r\n\r\n", b"0\r\nHost: evil\r\n\r\n", b"0\r\nContent-Length: 3\r\n\r\n",
    b"0\r\nAuthorization: Bearer x\r\n\r\n", b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n \r\n\r\n", b"0\r\n\n",
    b"0\r\n\rX", b"0\r\nGET / HTTP/1.1\r\n",
]  # fmt: skip

UPGRADES: Final = [  # U2, U3: field lines of an upgrade request nobody should serve
    (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    (b"Connection: Upgrade", b"Upgrade: h2c"),
    (b"Upgrade: h2c",),
    (b"Connection: Upgrade", b"Upgrade: H2C"),
    (b"Connection: Upgrade", b"Upgrade: h2"),
    (b"Connection: Upgrade", b"Upgrade: websocket, h2c"),
    (b"Connection: Upgrade", b"Upgrade: h2c, websocket"),
    (b"Connection: Upgrade", b"Upgrade: websocket/13"),
    (b"Connection: Upgrade", b"Upgrade: SPDY/3"),
    (b"Connection: Upgrade", b"Upgrade: SPDY/3.1, websocket"),
    (b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
    (b"Connection: Upgrade", b"Upgrade: "),
    (b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"),
    (b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: websocket"),
    (b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 3"),
    (b"Connection: Upgrade", b"Upgrade: SPDY/3.1", b"Content-Length: 1"),
    (b"Connection: Upgrade", b"Upgrade: SPDY/3.1", b"Transfer-Encoding: chunked"),
    (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: a", b"Sec-WebSocket-Key: b"),
]

CONNECTIONS: Final = [  # N2: what a client asks the next hop to remove
    b"Impersonate-User", b"keep-alive, Impersonate-User", b"Impersonate-User, Impersonate-Group", b"Authorization", b"close, Host",
    b"X-Forwarded-For", b"Content-Length", b"Transfer-Encoding", b"Audit-ID", b"close;q=1", b"close keep-alive", b'"close"', b"trailer",
    b"keep-alive,authorization", b"\xe2\x84\xaaeep-alive",
]  # fmt: skip

DUPLICATES: Final = [
    (b"Host: k8s.example",), (b"Host: evil",), (b"HOST: k8s.example",), (b"Authorization: Bearer a", b"Authorization: Bearer a"),
    (b"Authorization: Bearer a", b"authorization: Basic b"), (b"Content-Length: 3", b"Content-Length: 3"),
    (b"Content-Length: 3", b"Content-Length: 4"), (b"Content-Length: 0", b"content-length: 0"),
    (b"Content-Type: application/json", b"Content-Type: application/yaml"), (b"Expect: 100-continue", b"Expect: 100-continue"),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), (b"Transfer-Encoding:", b"Transfer-Encoding: chunked"),
]  # fmt: skip

EXPECTATIONS: Final = [
    b"200-ok",
    b"100-continue, x",
    b"",
    b"100-continue;q=1",
    b"100",
    b"continue",
    b"y100-continue",
]

LINE_ENDS: Final = [  # H5: every line of a head ends in CRLF
    b"GET / HTTP/1.1\nHost: k8s.example\n\n",
    b"GET / HTTP/1.1\nHost: k8s.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\n\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\nX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\rX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\nX: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\nX: a\nb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\n\rX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\n\n\r\n",
    b"GET / HTTP/1.1\rHost: k8s.example\r\rx",
    b"GET / HTTP/1.1\r\r\nHost: k8s.example\r\n\r\n",
    b"GET /\r HTTP/1.1\r\nHost: k8s.example\r\n\r\n",
    b"GET /\n HTTP/1.1\r\nHost: k8s.example\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: k8s.example\r\n\r\n",
    b"\nGET / HTTP/1.1\r\nHost: k8s.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: k8s.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\nHost: k8s.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\nX: a\r\n\tb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n k8s.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: k8s.example\r\nX: a\r\n \r\n\r\n",
]

REFUSED_REQUESTS: Final[list[Refused]] = [
    *_length_with_chunked(),
    *(Refused(f"H2 {v!r}", post(b"Transfer-Encoding: " + v, body=b"0\r\n\r\n")) for v in TRANSFER_ENCODINGS),
    *(Refused(f"H2 {v!r}", post(b"Transfer-Encoding: " + v, body=b"0\r\n\r\n"), 501) for v in HONEST_CODINGS),
    *(Refused(f"H3 {v!r}", post(b"Content-Length: " + v, body=b"abc")) for v in CONTENT_LENGTHS),
    *(Refused(f"H5 {w!r}", w) for w in LINE_ENDS),
    *(Refused(f"H6 {f!r}", get(f)) for f in FIELD_LINES),
    *(Refused(f"H6 first {f!r}", get(host=f + b"\r\nHost: k8s.example")) for f in FIELD_LINES[:6]),
    *(Refused(f"H6 value {v!r}", get(b"X: a" + v + b"b")) for v in FIELD_VALUES),
    *(Refused(f"H6 value {v!r}", get(b"X: " + v)) for v in (b"\x00", b"\x0b", b"\x0c", b"\x7f", b"a\x00")),
    *(Refused(f"H7-10 {b!r}", chunked(b)) for b in CHUNKS),
    *(
        Refused(f"H11 {v!r}", post(b"Content-Length: 3", b"Expect: " + v, body=b"abc"), 417)
        for v in EXPECTATIONS
    ),
    *(Refused(f"H14 {r!r}", line(r), status) for r, status in REQUEST_LINES),
    *(Refused(f"H16 {h!r}", get(host=b"Host: " + h)) for h in HOSTS),
    Refused("H16 no Host", b"GET / HTTP/1.1\r\n\r\n"),
    Refused("H16 no Host among others", b"GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    *(Refused(f"N2 {c!r}", get(b"Connection: " + c)) for c in CONNECTIONS),
    Refused("N2 in a second line", get(b"Connection: close", b"Connection: Impersonate-User")),
    *(Refused(f"U2-3 {u!r}", get(*u)) for u in UPGRADES),
    *(Refused(f"repeated {d!r}", post(*d, body=b"abc")) for d in DUPLICATES),
    Refused("H13 too many fields", get(*[b"X: y"] * 100), 431),
    Refused("H13 3000 fields", get(*[b"X: y"] * 3000), 431),
    Refused("H13 a huge field", get(b"X: " + b"y" * 66_000), 431),
    Refused("H13 a huge head, no end", get(b"X: " + b"y" * 66_000)[:-4], 431),
    Refused("H13 a huge name", get(b"X" * 70_000 + b": y"), 431),
    Refused("H13 a long target", get(target=b"/" + b"a" * 32_768), 414),
    Refused("H13 an endless target", b"GET /" + b"a" * 40_000, 414),
    Refused("H13 an endless method", b"G" * 40_000, 414),
]

KUBECTL_GET: Final = (
    b"GET /api/v1/namespaces/default/pods?limit=500 HTTP/1.1\r\n"
    b"Host: 127.0.0.1:6443\r\n"
    b"User-Agent: kubectl/v1.36.4 (linux/amd64) kubernetes/abcdef0\r\n"
    b"Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,"
    b"application/json\r\n"
    b"Authorization: Bearer " + b"e" * 900 + b"\r\n"
    b"Kubectl-Command: kubectl get\r\n"
    b"Kubectl-Session: 5f3c7a86-6a5b-4a39-9d5c-3e3b9d0a1c11\r\n"
    b"Accept-Encoding: gzip\r\n"
    b"\r\n"
)
"""A `kubectl get pods` of 1.36 over HTTP/1.1, with a token of the usual size."""

KUBECTL_CREATE: Final = (
    b"POST /api/v1/namespaces/default/configmaps?fieldManager=kubectl-create HTTP/1.1\r\n"
    b"Host: 127.0.0.1:6443\r\n"
    b"User-Agent: kubectl/v1.36.4 (linux/amd64) kubernetes/abcdef0\r\n"
    b"Content-Length: 54\r\n"
    b"Accept: application/vnd.kubernetes.protobuf,application/json\r\n"
    b"Content-Type: application/vnd.kubernetes.protobuf\r\n"
    b"Accept-Encoding: gzip\r\n"
    b"\r\n" + bytes(range(54))
)

KUBECTL_EXEC_SPDY: Final = (
    b"POST /api/v1/namespaces/default/pods/p/exec?command=sh&container=c&stdin=true&stdout=true HTTP/1.1\r\n"
    b"Host: 127.0.0.1:6443\r\n"
    b"User-Agent: kubectl/v1.20.0 (linux/amd64) kubernetes/abcdef0\r\n"
    b"Content-Length: 0\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
    b"X-Stream-Protocol-Version: v3.channel.k8s.io\r\n"
    b"\r\n"
)

KUBECTL_EXEC_WEBSOCKET: Final = (
    b"GET /api/v1/namespaces/default/pods/p/exec?command=sh&container=c&stdin=true&stdout=true HTTP/1.1\r\n"
    b"Host: 127.0.0.1:6443\r\n"
    b"User-Agent: kubectl/v1.36.4 (linux/amd64) kubernetes/abcdef0\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Upgrade: websocket\r\n"
    b"\r\n"
)

ACCEPTED_REQUESTS: Final[list[bytes]] = [
    KUBECTL_GET,
    KUBECTL_CREATE,
    KUBECTL_EXEC_SPDY,
    KUBECTL_EXEC_WEBSOCKET,
    get(),
    get(b"X:"),
    get(b"X: \t "),
    get(b"X:y"),
    get(b"X: \t y z\t "),
    get(b"X: a\tb"),
    get(b"X: \xc3\xa9"),
    get(b"X: y", b"X: z"),
    get(b"!#$%&'*+-.^`|~: all the token marks"),
    get(b"Connection: keep-alive"),
    get(b"Connection: close"),
    get(b"Connection: Keep-Alive, TE", b"TE: trailers"),
    get(b"Connection: ,close,"),
    get(b"Connection:"),
    get(b"Connection: Upgrade"),
    get(b"Upgrade: websocket"),
    get(b"Content-Length: 0"),
    get(b"Content-Length: 3") + b"abc",
    get(b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
    get(host=b"Host: [2001:db8::1]:6443"),
    get(host=b"host:K8S.example.:443"),
    get(target=b"//a//b/../c;d=e?f=[g]&h={\"i\"}|%zz"),
    get(*[b"X: y"] * 99),
    get(target=b"/" + b"a" * 32_767),
    get(b"X: " + b"y" * 60_000),
    post(),
    post(b"Content-Length: 0"),
    post(b"Content-Length: 3", body=b"abc"),
    post(b"content-length:3", b"Expect: 100-Continue", body=b"abc"),
    post(b"transfer-encoding: Chunked", b"Trailer: X", body=b"0\r\n\r\n"),
    chunked(b"3\r\nabc\r\n0\r\n\r\n"),
    chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n00000001\r\n\n\r\n0000\r\n\r\n"),
    chunked(b"".join(b"%x\r\n%b\r\n" % (n, b"z" * n) for n in range(1, 40)) + b"0\r\n\r\n"),
    *(line(m + b" / HTTP/1.1") for m in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")),
]  # fmt: skip


class RefusedResponse(NamedTuple):
    label: str
    wire: bytes


def response(*fields: bytes, status: bytes = b"200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *fields, b"", b""]) + body


STATUS_LINES: Final = [
    b"HTTP/1.1 099 X", b"HTTP/1.1 999 X", b"HTTP/1.1 600 X", b"HTTP/1.1 000 X", b"HTTP/1.1 20 X", b"HTTP/1.1 2000 X", b"HTTP/1.1 2x0 X",
    b"HTTP/1.1 +20 X", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200\tOK", b"HTTP/1.0 200 OK", b"HTTP/2.0 200 OK",
    b"HTTP/1.2 200 OK", b"HTTP/2 200", b"http/1.1 200 OK", b"HTTP/1.1", b"HTTP/1.1 ", b"", b" HTTP/1.1 200 OK", b"ICY 200 OK",
    b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\x7fK", b"HTTP/1.1 \xef\xbc\x92\x30\x30 OK", b"SSH-2.0-OpenSSH_9.6", b"<html>",
]  # fmt: skip

REFUSED_RESPONSES: Final[list[RefusedResponse]] = [
    *(RefusedResponse(f"status line {s!r}", s + b"\r\nContent-Length: 0\r\n\r\n") for s in STATUS_LINES),
    RefusedResponse("both framings", response(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    RefusedResponse("both framings", response(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"0\r\n\r\n")),
    *(RefusedResponse(f"TE {v!r}", response(b"Transfer-Encoding: " + v)) for v in TRANSFER_ENCODINGS),
    *(RefusedResponse(f"TE {v!r}", response(b"Transfer-Encoding: " + v)) for v in HONEST_CODINGS),
    *(RefusedResponse(f"CL {v!r}", response(b"Content-Length: " + v)) for v in CONTENT_LENGTHS),
    RefusedResponse("CL twice", response(b"Content-Length: 3", b"Content-Length: 3", body=b"abc")),
    RefusedResponse("TE twice", response(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    *(RefusedResponse(f"field {f!r}", response(f, b"Content-Length: 0")) for f in FIELD_LINES if b"_" not in f),
    *(RefusedResponse(f"value {v!r}", response(b"X: a" + v + b"b", b"Content-Length: 0")) for v in FIELD_VALUES),
    RefusedResponse("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    RefusedResponse("one bare LF", b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\n\r\n"),
    RefusedResponse("bare CR", b"HTTP/1.1 200 OK\r\nX: y\rContent-Length: 0\r\n\r\n"),
    RefusedResponse("204 with a body", response(b"Content-Length: 3", status=b"204 No Content")),
    RefusedResponse("204 chunked", response(b"Transfer-Encoding: chunked", status=b"204 No Content")),
    RefusedResponse("103 with a body", response(b"Content-Length: 3", status=b"103 Early Hints")),
    RefusedResponse("100 chunked", response(b"Transfer-Encoding: chunked", status=b"100 Continue")),
    RefusedResponse("101 nobody asked for", response(b"Connection: Upgrade", b"Upgrade: websocket", status=b"101 X")),
    RefusedResponse("nine 1xx", response(status=b"100 Continue") * 9),
    RefusedResponse("1001 fields", response(*[b"X: y"] * 1001)),
    RefusedResponse("a huge head", response(b"X: " + b"y" * 1_048_576)),
    RefusedResponse("a huge reason", response(status=b"200 " + b"y" * 9000)),
    *(
        RefusedResponse(f"chunk {b!r}", response(b"Transfer-Encoding: chunked", body=b))
        for b in CHUNKS
        if not b.startswith((b"0\r\nX: y", b"0\r\nI", b"0\r\nH", b"0\r\nC", b"0\r\nA", b"0\r\nG", b"3\r\nabc\r\n0\r\nT", b"3\r\nabc\r\n0\r\nX"))
    ),
    RefusedResponse("trailer without colon", response(b"Transfer-Encoding: chunked", body=b"0\r\nX\x00\r\n\r\n")),
    RefusedResponse("endless trailer", response(b"Transfer-Encoding: chunked", body=b"0\r\nX: " + b"y" * 20_000)),
]  # fmt: skip

ACCEPTED_RESPONSES: Final[list[bytes]] = [
    response(b"Content-Length: 0"),
    response(b"Content-Length: 3", body=b"abc"),
    response(b"Content-Type: application/json", b"Content-Length: 2", b"Warning: 299 - \"a\"", b"Warning: 299 - \"b\"", body=b"{}"),
    response(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n"),
    response(b"Transfer-Encoding: chunked", b"Trailer: X", body=b"3\r\nabc\r\n0\r\nX: y\r\nZ: w\r\n\r\n"),
    response(status=b"204 No Content"),
    response(b"Content-Length: 0", status=b"204 No Content"),
    response(b"Etag: \"a\"", b"Content-Length: 17", status=b"304 Not Modified"),
    response(b"Connection: close", b"Content-Length: 3", body=b"abc"),
    response(b"Connection: X-Secret", b"X-Secret: y", b"Content-Length: 3", body=b"abc"),
    response(b"X_Under: score", b"Content-Length: 0", status=b"599"),
    response(b"Content-Length: 0", status=b"200 "),
    response(status=b"100 Continue") + response(status=b"103 Early Hints") + response(b"Content-Length: 1", body=b"a"),
    response(status=b"102 Processing") * 8 + response(b"Content-Length: 1", body=b"a"),
]  # fmt: skip

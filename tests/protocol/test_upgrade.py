import pytest

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import Headers, RequestHead, ResponseHead
from protocol.upgrade import (
    BEARER_PREFIX,
    MAX_OFFERS,
    PROTOCOLS,
    BearerToken,
    UpgradeRequest,
    accept_key,
    check_upgrade_response,
    client_upgrade_headers,
    encode_key,
    parse_upgrade,
    upstream_upgrade_headers,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
RAW_KEY = b"the sample nonce"
V5, V4, V1 = "v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
TOKEN = BEARER_PREFIX.encode() + b"c2VjcmV0LXRva2Vu"  # "secret-token"


def _websocket(*offers: bytes, method: bytes = b"GET", **fields: bytes) -> RequestHead:
    values = {b"sec-websocket-key": KEY, b"sec-websocket-version": b"13"}
    values |= {name.replace("_", "-").encode(): value for name, value in fields.items()}
    headers = [*values.items(), *((b"sec-websocket-protocol", offer) for offer in offers)]
    return RequestHead(method, b"/x", b"h", tuple(headers), upgrade=b"websocket")


def _spdy(*offers: bytes, method: bytes = b"POST") -> RequestHead:
    headers = tuple((b"x-stream-protocol-version", offer) for offer in offers)
    return RequestHead(method, b"/x", b"h", headers, upgrade=b"spdy/3.1")


def test_the_websocket_request_of_kubectl_is_read() -> None:
    request = parse_upgrade(_websocket(b"v5.channel.k8s.io"), "exec")
    assert request == UpgradeRequest("websocket", (V5,), KEY, None)


def test_the_spdy_request_of_kubectl_offers_five_lines_of_which_we_carry_four() -> None:
    lines = (
        b"v5.channel.k8s.io",
        b"v4.channel.k8s.io",
        b"v3.channel.k8s.io",
        b"v2.channel.k8s.io",
        b"channel.k8s.io",
    )
    request = parse_upgrade(_spdy(*lines), "attach")
    assert request.transport == "spdy"
    assert request.protocols == tuple(line.decode() for line in lines[1:])


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_spdy_works_over_get_and_post(method: bytes) -> None:
    assert parse_upgrade(_spdy(b"portforward.k8s.io", method=method), "portforward").protocols == (
        "portforward.k8s.io",
    )


def test_offers_keep_the_order_of_the_client_over_lines_and_lists_each_once() -> None:
    request = parse_upgrade(
        _websocket(b" channel.k8s.io ,, x.y", b"v4.channel.k8s.io,channel.k8s.io"), "exec"
    )
    assert request.protocols == (V1, V4)


@pytest.mark.parametrize(
    ("kind", "offered", "carried"),
    [
        ("exec", "v3.channel.k8s.io, base64.channel.k8s.io", ("base64.channel.k8s.io",)),
        ("portforward", f"{V5}, {V1}, {TUNNEL}, {V4}", (TUNNEL, V4)),
        ("exec", f"{TUNNEL}, {V5}", (V5,)),
        ("", f"{TUNNEL}, chat", (TUNNEL, "chat")),
    ],
)
def test_only_what_this_kind_of_stream_can_be_decoded_from_remains(
    kind: str, offered: str, carried: tuple[str, ...]
) -> None:
    assert parse_upgrade(_websocket(offered.encode()), kind).protocols == carried


def test_a_websocket_client_may_offer_nothing() -> None:
    for head in (_websocket(), _websocket(b""), _websocket(b" , ")):
        assert parse_upgrade(head, "exec").protocols == ()


@pytest.mark.parametrize(
    ("head", "kind", "status"),
    [
        (_websocket(b"chat"), "exec", 403),
        (_websocket(b"v5.channel.k8s.io"), "portforward", 403),
        (_websocket(b"spdy/3.1+portforward.k8s.io"), "portforward", 403),
        (_spdy(b"v5.channel.k8s.io"), "exec", 403),
        (_spdy(b"portforward.k8s.io"), "exec", 403),
        (_spdy(), "exec", 400),
        (_spdy(b" ", b","), "portforward", 400),
        (_websocket(method=b"POST"), "exec", 405),
        (_websocket(method=b"HEAD"), "exec", 405),
        (_spdy(b"v4.channel.k8s.io", method=b"PUT"), "exec", 405),
        (_websocket(sec_websocket_version=b"8"), "exec", 400),
        (_websocket(sec_websocket_version=b"13, 8"), "exec", 400),
        (_websocket(sec_websocket_key=b""), "exec", 400),
        (_websocket(sec_websocket_key=b"AAAA"), "exec", 400),
        (_websocket(sec_websocket_key=KEY[:-1] + b"A"), "exec", 400),
        (_websocket(sec_websocket_key=b"dGhlIHNhbXBsZSBub25j_Q=="), "exec", 400),
        (_websocket(*[b"a,b,c"] * MAX_OFFERS), "exec", 400),
        (_websocket(b"v4 channel"), "exec", 400),
        (_websocket(b"caf\xc3\xa9"), "exec", 400),
    ],
)
def test_a_request_that_cannot_be_served_says_why(head: RequestHead, kind: str, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        parse_upgrade(head, kind)
    assert refused.value.status_hint == status


@pytest.mark.parametrize("name", [b"sec-websocket-key", b"sec-websocket-version"])
def test_a_missing_or_repeated_handshake_field_is_refused(name: bytes) -> None:
    head = _websocket(b"v4.channel.k8s.io")
    without = tuple(header for header in head.headers if header[0] != name)
    for headers in (without, head.headers + tuple(header for header in head.headers if header[0] == name)):
        with pytest.raises(RemoteProtocolError):
            parse_upgrade(RequestHead(b"GET", b"/x", b"h", headers, upgrade=b"websocket"), "exec")


@pytest.mark.parametrize(("version", "length"), [(b"2", 0), (b"1.1", 3), (b"1.1", None)])
def test_an_upgrade_has_no_body_and_comes_over_http1(version: bytes, length: int | None) -> None:
    headers = _websocket().headers
    head = RequestHead(
        b"GET", b"/x", b"h", headers, http_version=version, content_length=length, upgrade=b"websocket"
    )
    with pytest.raises(RemoteProtocolError):
        parse_upgrade(head, "exec")


@pytest.mark.parametrize("upgrade", [b"", b"h2c"])
def test_reading_what_is_no_upgrade_is_our_bug(upgrade: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        parse_upgrade(RequestHead(b"GET", b"/x", b"h", (), upgrade=upgrade), "exec")


# --- a bearer token among the subprotocols ------------------------------------------------------


def test_a_bearer_token_is_taken_off_the_offers() -> None:
    for offers in ((TOKEN, b"v4.channel.k8s.io"), (b"v4.channel.k8s.io, " + TOKEN,)):
        request = parse_upgrade(_websocket(*offers), "exec")
        assert request.bearer_token == b"secret-token"
        assert request.protocols == (V4,)


def test_a_bearer_token_shows_in_no_text_and_no_header_of_ours() -> None:
    request = parse_upgrade(_websocket(TOKEN + b",v4.channel.k8s.io"), "exec")
    texts = (
        repr(request),
        f"{request}",
        f"{request.bearer_token}",
        f"{request.bearer_token!r}",
        str(request.bearer_token),
    )
    headers = upstream_upgrade_headers(request, RAW_KEY) + client_upgrade_headers(request, V4)
    for text in (*texts, repr(headers)):
        assert "secret-token" not in text
        assert "c2VjcmV0" not in text
    assert repr(BearerToken(b"x")) == "<bearer token>"


@pytest.mark.parametrize(
    "offers",
    [
        (TOKEN,),
        (TOKEN, TOKEN, b"v4.channel.k8s.io"),
        (BEARER_PREFIX.encode(), b"v4.channel.k8s.io"),
        (BEARER_PREFIX.encode() + b"c2Vj=", b"v4.channel.k8s.io"),
        (BEARER_PREFIX.encode() + b"c2V+j", b"v4.channel.k8s.io"),
        (BEARER_PREFIX.encode() + b"c2VjA", b"v4.channel.k8s.io"),
    ],
)
def test_a_bearer_entry_that_is_not_one_credential_is_unauthorized(offers: tuple[bytes, ...]) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        parse_upgrade(_websocket(*offers), "exec")
    assert refused.value.status_hint == 401
    assert "c2V" not in refused.value.why


def test_over_spdy_a_bearer_entry_is_just_an_unknown_protocol() -> None:
    request = parse_upgrade(_spdy(b"v4.channel.k8s.io", TOKEN), "exec")
    assert (request.protocols, request.bearer_token) == ((V4,), None)


# --- towards the API server -----------------------------------------------------------------------


def test_the_accept_key_is_that_of_rfc_6455() -> None:
    assert accept_key(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert encode_key(RAW_KEY) == KEY


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 17])
def test_a_key_of_another_length_is_our_bug(key: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_key(key)


def test_our_websocket_request_carries_our_key_and_no_extension() -> None:
    client = _websocket(
        b"v5.channel.k8s.io, v4.channel.k8s.io, chat", sec_websocket_extensions=b"permessage-deflate"
    )
    request = parse_upgrade(client, "exec")
    assert upstream_upgrade_headers(request, b"sixteen of bytes") == (
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", b"c2l4dGVlbiBvZiBieXRlcw=="),
        (b"sec-websocket-protocol", b"v5.channel.k8s.io, v4.channel.k8s.io"),
    )


def test_nothing_offered_stays_nothing_offered() -> None:
    headers = upstream_upgrade_headers(parse_upgrade(_websocket(), "exec"), RAW_KEY)
    assert b"sec-websocket-protocol" not in dict(headers)


def test_our_spdy_request_names_each_protocol_in_its_own_line() -> None:
    request = parse_upgrade(_spdy(b"v4.channel.k8s.io,channel.k8s.io"), "exec")
    assert upstream_upgrade_headers(request, b"") == (
        (b"connection", b"Upgrade"),
        (b"upgrade", b"SPDY/3.1"),
        (b"x-stream-protocol-version", b"v4.channel.k8s.io"),
        (b"x-stream-protocol-version", b"channel.k8s.io"),
    )


def _answer(*headers: tuple[bytes, bytes], accept: bytes | None = None) -> ResponseHead:
    own: Headers = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))
    return ResponseHead(101, (*own, (b"sec-websocket-accept", accept or accept_key(KEY)), *headers))


def test_the_protocol_chosen_is_returned() -> None:
    request = UpgradeRequest("websocket", (V5, V4), KEY)
    assert (
        check_upgrade_response(_answer((b"sec-websocket-protocol", b"v4.channel.k8s.io")), request, RAW_KEY)
        == V4
    )


def test_without_an_offer_none_is_chosen() -> None:
    request = UpgradeRequest("websocket", (), KEY)
    assert check_upgrade_response(_answer(), request, RAW_KEY) == ""
    assert check_upgrade_response(_answer((b"sec-websocket-protocol", b"")), request, RAW_KEY) == ""


@pytest.mark.parametrize(
    "answer",
    [
        ResponseHead(200, _answer((b"sec-websocket-protocol", V5.encode())).headers),
        _answer(),
        _answer((b"sec-websocket-protocol", b"v4.channel.k8s.io")),
        _answer((b"sec-websocket-protocol", b"V5.channel.k8s.io")),
        _answer((b"sec-websocket-protocol", b"v5.channel.k8s.io"), (b"sec-websocket-protocol", b"v5.channel.k8s.io")),
        _answer((b"sec-websocket-protocol", b"v5.channel.k8s.io, v5.channel.k8s.io")),
        _answer((b"sec-websocket-protocol", b"v5.channel.k8s.io"), accept=KEY),
        _answer((b"sec-websocket-protocol", b"v5.channel.k8s.io"), (b"sec-websocket-accept", accept_key(KEY))),
        _answer((b"sec-websocket-protocol", b"v5.channel.k8s.io"), (b"sec-websocket-extensions", b"permessage-deflate")),
        _answer((b"sec-websocket-protocol", b"v5.channel.k8s.io"), (b"upgrade", b"h2c")),
        ResponseHead(101, _answer((b"sec-websocket-protocol", b"v5.channel.k8s.io")).headers[1:]),
        ResponseHead(101, ((b"connection", b"close"), *_answer((b"sec-websocket-protocol", b"v5.channel.k8s.io")).headers[1:])),
        ResponseHead(101, (_answer().headers[0], *_answer((b"sec-websocket-protocol", b"v5.channel.k8s.io")).headers[2:])),
    ],
)  # fmt: skip
def test_a_101_to_another_question_is_refused(answer: ResponseHead) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        check_upgrade_response(answer, UpgradeRequest("websocket", (V5,), KEY), RAW_KEY)
    assert refused.value.status_hint == 502


def test_a_spdy_answer_is_read_in_any_case() -> None:
    headers = (
        (b"connection", b"keep-alive, uPgrade"),
        (b"upgrade", b"spdy/3.1"),
        (b"x-stream-protocol-version", V4.encode()),
    )
    assert check_upgrade_response(ResponseHead(101, headers), UpgradeRequest("spdy", (V4, V1)), b"") == V4


def test_a_spdy_server_that_names_nothing_speaks_the_first_version_but_no_port_forward() -> None:
    answer = ResponseHead(101, ((b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1")))
    assert check_upgrade_response(answer, UpgradeRequest("spdy", (V4,)), b"") == ""
    with pytest.raises(RemoteProtocolError):
        check_upgrade_response(answer, UpgradeRequest("spdy", ("portforward.k8s.io",)), b"")


# --- towards the client -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "transport"), sorted(PROTOCOLS))
def test_our_101_passes_the_check_a_client_makes(kind: str, transport: str) -> None:
    for protocol in PROTOCOLS[kind, transport]:
        head = _websocket(protocol.encode()) if transport == "websocket" else _spdy(protocol.encode())
        request = parse_upgrade(head, kind)
        answer = ResponseHead(101, client_upgrade_headers(request, protocol))
        assert check_upgrade_response(answer, request, RAW_KEY) == protocol


def test_our_101_names_no_protocol_when_none_was_chosen() -> None:
    assert client_upgrade_headers(UpgradeRequest("websocket", (), KEY), "") == (
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    )

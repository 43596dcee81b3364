import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError
from protocol.events import Channel, ChannelData, ChannelEnded, TunnelClosed
from protocol.remotecommand_messages import (
    MAX_ERROR_BYTES,
    MAX_RESIZE_BYTES,
    ExitStatus,
    ExitStatusReader,
    ResizeReader,
    closing_events,
    encode_status_message,
    parse_resize,
    parse_version,
)
from tests.kit.cutting import cut

SUCCESS = b'{"metadata":{},"status":"Success"}'
EXIT_42 = (
    b'{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 42",'
    b'"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}'
)


# --- sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (b'{"Width":120,"Height":40}\n', (120, 40)),
        (b'{"width":1,"HEIGHT":2}', (1, 2)),
        (b'{"Width":0,"Height":65535,"x":[]}', (0, 65535)),
        (b'{"Width":65536,"Height":1}', None),
        (b'{"Width":-1,"Height":1}', None),
        (b'{"Width":1.5,"Height":1}', None),
        (b'{"Width":true,"Height":1}', None),
        (b'{"Width":"1","Height":1}', None),
        (b'{"Width":80}', None),
        (b"{}", None),
        (b"[120,40]", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b'{"Width":120,"Height":40', None),
    ],
)
def test_one_size_is_read_as_go_reads_it(message: bytes, size: tuple[int, int] | None) -> None:
    assert parse_resize(message) == size


@settings(max_examples=100)
@given(st.lists(st.integers(0, 1000), max_size=10))
def test_sizes_split_and_joined_are_read(places: list[int]) -> None:
    stream = b'{"Width":120,"Height":40}\n{"Width":80,"Height":24}{"Width":1,"Height":2}\n'
    reader = ResizeReader()
    found = [size for part in cut(stream, places) for size in reader.feed(part)]
    assert found == [(120, 40), (80, 24), (1, 2)]


def test_malformed_sizes_are_skipped() -> None:
    reader = ResizeReader()
    assert reader.feed(b'garbage {"Width":"x"} ]] {"Width":1,"Height":2} more') == [(1, 2)]
    assert reader.feed(b'{"Width":3,"Height":4}') == [(3, 4)]


def test_size_that_never_ends_is_bounded() -> None:
    reader = ResizeReader()
    for _ in range(100):
        assert reader.feed(b"{" + b" " * 700) == []
        assert len(reader._part) <= MAX_RESIZE_BYTES
    assert reader.feed(b"}" + b'{"Width":1,"Height":2}') == [(1, 2)]
    assert ResizeReader().feed(b"{" * (MAX_RESIZE_BYTES + 1) + b"}") == []


# --- results -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "said", "status"),
    [
        ("v4.channel.k8s.io", SUCCESS, ExitStatus(0, "")),
        ("v5.channel.k8s.io", b'{"status":"Success"}\n', ExitStatus(0, "")),
        (
            "v4.channel.k8s.io",
            EXIT_42,
            ExitStatus(42, "command terminated with non-zero exit code: exit status 42"),
        ),
        ("v4.base64.channel.k8s.io", b'{"status":"Failure","message":"no"}', ExitStatus(None, "no")),
        ("v4.channel.k8s.io", b"not JSON", ExitStatus(None, "not JSON")),
        ("v4.channel.k8s.io", b"", None),
        ("v4.channel.k8s.io", b" \n", None),
        ("", b"exit status 1", ExitStatus(None, "exit status 1")),
        ("v3.channel.k8s.io", SUCCESS, ExitStatus(None, SUCCESS.decode())),
        ("channel.k8s.io", b"", None),
        ("v2.channel.k8s.io", b"\x1b[2J\xff", ExitStatus(None, "\\x1b[2J\N{REPLACEMENT CHARACTER}")),
    ],
)
def test_result_is_read_by_the_protocol_version(
    protocol: str, said: bytes, status: ExitStatus | None
) -> None:
    for size in (1, 7, 1000):
        reader = ExitStatusReader(protocol)
        for start in range(0, len(said), size):
            reader.feed(said[start : start + size])
        assert reader.read() == status


def test_endless_result_is_bounded_and_has_no_code() -> None:
    reader = ExitStatusReader("v4.channel.k8s.io")
    reader.feed(SUCCESS)
    for _ in range(4):
        reader.feed(b" " * (MAX_ERROR_BYTES // 2))
    status = reader.read()
    assert status is not None
    assert status.exit_code is None
    assert len(reader._text) == MAX_ERROR_BYTES


@pytest.mark.parametrize(
    ("protocol", "pieces", "is_whole"),
    [
        ("v4.channel.k8s.io", [SUCCESS], True),
        ("v5.channel.k8s.io", [SUCCESS[:9], SUCCESS[9:]], True),
        ("v4.channel.k8s.io", [SUCCESS[:9]], False),
        ("v4.channel.k8s.io", [], False),
        ("v4.channel.k8s.io", [SUCCESS, b" " * MAX_ERROR_BYTES], False),
        ("v3.channel.k8s.io", [b"exit status 1"], False),
    ],
)
def test_a_whole_status_is_known_before_the_channel_ends(
    protocol: str, pieces: list[bytes], is_whole: bool
) -> None:
    reader = ExitStatusReader(protocol)
    assert reader.is_empty
    for piece in pieces:
        reader.feed(piece)
    assert reader.is_empty is not any(pieces)
    assert reader.is_whole() is is_whole


@pytest.mark.parametrize("protocol", ["v6.channel.k8s.io", "V4.CHANNEL.K8S.IO", "portforward.k8s.io"])
def test_unknown_protocol_is_our_error(protocol: str) -> None:
    with pytest.raises(LocalProtocolError):
        parse_version(protocol)


# --- ending a session -----------------------------------------------------------------------------


def test_our_status_is_a_failure_that_kubectl_shows() -> None:
    said = json.loads(encode_status_message("revoked", code=401))
    assert (said["status"], said["message"], said["code"]) == ("Failure", "revoked", 401)
    assert encode_status_message("re\x1bvoked", "v3.channel.k8s.io") == b"re\\x1bvoked"
    reader = ExitStatusReader("v4.channel.k8s.io")
    reader.feed(encode_status_message("revoked"))
    assert reader.read() == ExitStatus(None, "revoked")


def test_exec_is_ended_with_a_line_a_status_and_a_goodbye() -> None:
    assert closing_events("exec", False, "revoked by ops") == [
        ChannelData(Channel.STDERR, b"revoked by ops\n"),
        ChannelData(Channel.ERROR, encode_status_message("revoked by ops")),
        ChannelEnded(Channel.ERROR),
        ChannelEnded(Channel.STDOUT),
        ChannelEnded(Channel.STDERR),
        TunnelClosed(1000),
    ]


def test_terminal_gets_its_line_on_stdout_with_crlf() -> None:
    first, second, *_ = closing_events("attach", True, "bye\nbye", protocol="v3.channel.k8s.io")
    assert first == ChannelData(Channel.STDOUT, b"\r\nbye\\nbye\r\n")
    assert second == ChannelData(Channel.ERROR, b"bye\\nbye")


def test_port_forward_says_why_on_each_connection() -> None:
    assert closing_events("portforward", False, "no", connections=(4,)) == [
        ChannelData(Channel.FORWARD_ERROR, b"no", 4),
        ChannelEnded(Channel.FORWARD_ERROR, 4),
        ChannelEnded(Channel.DATA, 4),
        TunnelClosed(1000),
    ]
    assert closing_events("portforward", False, "no") == [TunnelClosed(1000)]

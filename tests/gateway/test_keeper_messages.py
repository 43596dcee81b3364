"""Gateway and keeper understand each other, and keys show in no text."""

import msgspec
import pytest

from gateway.config import Settings
from gateway.keeper_messages import (
    DutyStatus,
    Finish,
    KeeperStatus,
    Message,
    Orders,
    SegmentKey,
    encode_line,
    parse_message,
    parse_status,
)


@pytest.mark.parametrize(
    "message", [Orders("/data", "gw", Settings()), SegmentKey("kubetape/gw/0", "id", b"\0" * 32), Finish(2.5)]
)
def test_a_message_comes_back_as_it_went(message: Message) -> None:
    line = encode_line(message)
    assert line.count(b"\n") == 1
    assert parse_message(line) == message


def test_a_status_comes_back_and_names_what_fails() -> None:
    status = KeeperStatus(7, {"tree": DutyStatus(), "export": DutyStatus("denied", {"x": 1.0})})
    assert parse_status(encode_line(status)) == status
    assert status.problems() == ["export: denied"]


def test_a_key_is_not_in_the_text_of_its_message() -> None:
    message = SegmentKey("kubetape/gw/0", "0190-1", b"K" * 32)
    assert repr(message) == "SegmentKey(0190-1)"


def test_anything_else_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_message(b'{"type": "shutdown"}')

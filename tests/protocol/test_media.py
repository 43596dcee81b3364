"""A body that is one JSON object, or nothing."""

import pytest

from protocol.media import parse_json_object


def test_an_object_is_decoded() -> None:
    assert parse_json_object(b'{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"{} {}", b'{"a": "\xff"}', b'{"a":' * 100_000])
def test_whatever_else_is_none(body: bytes) -> None:
    assert parse_json_object(body) is None

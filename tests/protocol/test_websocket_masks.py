import runpy
import sys
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import websocket_masks
from protocol.websocket_masks import apply_mask, random_masks
from tests.kit.websocket_bytes import MASK


def _xor(data: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


@given(st.binary(max_size=40), st.binary(min_size=4, max_size=4))
def test_masking_is_xor_with_the_repeated_mask(data: bytes, mask: bytes) -> None:
    assert apply_mask(data, mask) == _xor(data, mask)


@pytest.mark.parametrize("turn", range(4))
def test_every_length_is_masked_to_its_end_whatever_key_comes_first(turn: int) -> None:
    """The function works in steps of 16, 8 and 1 bytes."""
    mask = MASK[turn:] + MASK[:turn]
    for length in (*range(70), 1021, 1024, 1027, 32 * 1024 + 1, 70_001):
        data = bytes(at * 7 % 256 for at in range(length))
        assert apply_mask(data, mask) == _xor(data, mask)
        assert apply_mask(apply_mask(data, mask), mask) == data


def test_the_example_of_the_rfc_is_masked() -> None:
    """Section 5.7: a single-frame masked text message."""
    assert apply_mask(b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("7f9f4d5158")


def test_without_compiled_code_the_masks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)  # importing it fails
    in_python = runpy.run_path(websocket_masks.__file__)["apply_mask"]
    assert in_python is not apply_mask
    for length in range(70):
        data = bytes(range(length))
        assert in_python(data, MASK) == apply_mask(data, MASK)


def test_masks_are_four_bytes_and_never_the_same() -> None:
    masks = set(islice(random_masks(), 200))
    assert len(masks) > 190
    assert {len(mask) for mask in masks} == {4}

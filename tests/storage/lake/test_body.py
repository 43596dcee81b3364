"""Hashes of bodies: of the whole body, or none."""

import hashlib

import pytest

from storage.lake.body import BodyHash


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_body_in_pieces_has_the_hash_of_the_whole() -> None:
    body = BodyHash(hashed=True)
    body.feed(0, b"one ")
    body.feed(4, b"two")
    assert (body.hex(), body.length) == (sha256(b"one two"), 7)


def test_an_empty_body_has_no_hash() -> None:
    assert BodyHash(hashed=True).hex() is None


def test_a_body_that_is_not_to_be_hashed_is_counted() -> None:
    body = BodyHash(hashed=False)
    body.feed(0, b"secret")
    assert (body.hex(), body.length) == (None, 6)


def test_a_hole_leaves_no_hash_for_ever() -> None:
    body = BodyHash(hashed=True)
    body.feed(0, b"one ")
    body.feed(5, b"wo")
    body.feed(7, b" three")
    assert (body.hex(), body.length) == (None, 13)


@pytest.mark.parametrize("stored_at", [0, 4, 7])
def test_a_stored_hash_goes_on_when_its_beginning_comes_again(stored_at: int) -> None:
    pieces = [(0, b"one "), (4, b"two"), (7, b" three")]
    body = BodyHash(hashed=True)
    for offset, data in pieces:
        if offset < stored_at:
            body.feed(offset, data)
    again = BodyHash(hashed=False, state=body.state())
    assert again.wants_beginning is (stored_at > 0)
    for offset, data in pieces:
        again.feed_again(offset, data)  # what lies behind the state is ignored
    assert not again.wants_beginning
    for offset, data in pieces:
        if offset >= stored_at:
            again.feed(offset, data)
    assert again.hex() == sha256(b"one two three")


def test_a_stored_hash_whose_beginning_is_gone_is_none() -> None:
    body = BodyHash(hashed=True)
    body.feed(0, b"one ")
    again = BodyHash(hashed=False, state=body.state())
    assert again.hex() is None
    again.feed(4, b"two")
    assert (again.hex(), again.length) == (None, 7)
    assert not again.wants_beginning


def test_bytes_that_come_again_out_of_order_are_no_beginning() -> None:
    body = BodyHash(hashed=True)
    body.feed(0, b"one ")
    body.feed(4, b"two")
    again = BodyHash(hashed=False, state=body.state())
    again.feed_again(4, b"two")
    assert again.wants_beginning
    assert again.hex() is None

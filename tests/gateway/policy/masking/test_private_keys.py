"""Private keys in a whole text."""

from gateway.policy.masking.private_keys import find_keys

BEGIN = b"-----BEGIN EC PRIVATE KEY-----"
END = b"-----END EC PRIVATE KEY-----"


def found(text: bytes) -> list[bytes]:
    return [text[start:end] for start, end in find_keys(text)]


def test_a_key_goes_to_its_end() -> None:
    key = BEGIN + b"\nMHcC\n.?\n" + END
    assert found(b"a " + key + b" b " + key) == [key, key]


def test_a_key_without_end_goes_as_far_as_it_looks_like_one() -> None:
    assert found(BEGIN + b"\nMHcC\n. end " + BEGIN) == [BEGIN + b"\nMHcC\n", BEGIN]


def test_a_key_in_base64_may_be_wrapped() -> None:
    first = b"LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0t" + b"a" * 36
    assert found(first + b"\n" + b"b" * 76 + b"\nabc=\nkind: x") == [first + b"\n" + b"b" * 76 + b"\nabc="]
    assert found(first + b"\nkind: Secret") == [first]


def test_many_beginnings_do_not_take_long() -> None:
    assert len(found((BEGIN + b".") * 20_000)) == 20_000

import pytest

from storage.cipher import open_cipher
from storage.errors import StorageError


def test_suite_none_leaves_payloads_alone() -> None:
    cipher = open_cipher("none", "s")
    assert cipher.suite == "none"
    assert cipher.overhead_bytes == 0
    assert cipher.open(0, b"header", cipher.seal(0, b"header", b"payload")) == b"payload"


def test_an_unknown_suite_says_what_to_do() -> None:
    with pytest.raises(StorageError, match=r"seg\.kseg: cipher suite 'aes' needs a newer version"):
        open_cipher("aes", "seg.kseg")

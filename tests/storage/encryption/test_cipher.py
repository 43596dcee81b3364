import hashlib
import hmac

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from storage.encryption.cipher import (
    TAG_BYTES,
    AesGcmCipher,
    BadTag,
    commit_to_key,
    new_cipher_parameters,
    open_cipher,
)
from storage.errors import StorageError, WrongKey
from storage.format import CipherParameters, SegmentHeader, encode_header_map
from tests.kit.segments import header

KEY = bytes(range(32))


def committed(key: bytes = KEY, *, salt: bytes = bytes(24)) -> SegmentHeader:
    head = msgspec.structs.replace(
        header(),
        segment_id="019a0000-0000-7000-8000-000000000001",
        cipher=CipherParameters("aes-256-gcm", salt),
    )
    return commit_to_key(head, key)


def test_suite_none_leaves_payloads_alone() -> None:
    cipher = open_cipher(header(), None)
    assert cipher.suite == "none"
    assert cipher.overhead_bytes == 0
    assert cipher.open(0, b"header", cipher.seal(0, b"header", b"payload")) == b"payload"


def test_an_unknown_suite_says_what_to_do() -> None:
    head = msgspec.structs.replace(header(), cipher=CipherParameters("aes"))
    with pytest.raises(StorageError, match=r"cipher suite 'aes' needs a newer version"):
        open_cipher(head, KEY)


def test_a_sealed_payload_opens_at_its_place_and_nowhere_else() -> None:
    cipher = open_cipher(committed(), KEY)
    sealed = cipher.seal(3, b"header", b"payload")
    assert len(sealed) == len(b"payload") + TAG_BYTES == len(b"payload") + cipher.overhead_bytes
    assert cipher.open(3, b"header", sealed) == b"payload"
    for block_seq, authenticated in ((4, b"header"), (3, b"Header")):
        with pytest.raises(BadTag):
            cipher.open(block_seq, authenticated, sealed)


def test_every_flipped_bit_of_a_sealed_payload_is_found() -> None:
    cipher = open_cipher(committed(), KEY)
    sealed = cipher.seal(0, b"header", b"payload")
    for at in range(len(sealed)):
        for bit in range(8):
            damaged = bytearray(sealed)
            damaged[at] ^= 1 << bit
            with pytest.raises(BadTag):
                cipher.open(0, b"header", bytes(damaged))


def test_a_payload_shorter_than_its_tag_is_a_bad_one() -> None:
    with pytest.raises(BadTag):
        open_cipher(committed(), KEY).open(0, b"", b"short")


def test_another_key_is_refused_by_the_commitment_before_any_payload() -> None:
    with pytest.raises(WrongKey, match="not the one this segment was written with"):
        open_cipher(committed(), bytes(32))


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_data_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(WrongKey, match=f"a data key has 32 bytes, this one has {length}"):
        open_cipher(committed(), bytes(length))


def test_an_encrypted_segment_opened_without_a_key_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        open_cipher(committed(), None)


def test_keys_depend_on_everything_the_header_says() -> None:
    """A header changed or exchanged, its commitment kept, no longer fits the key."""
    head = committed()
    for name, value in (
        ("log_origin", "example.com/kubetape/other"),
        ("segment_number", 2),
        ("salt32", 1),
        ("created_ns", 1),
        ("prev_segment_id", "x"),
        ("first_record_seq", 2),
    ):
        changed = msgspec.structs.replace(head, **{name: value})
        with pytest.raises(WrongKey):
            open_cipher(changed, KEY)
    other = committed(salt=b"\1" * 24)
    with pytest.raises(WrongKey):
        open_cipher(
            msgspec.structs.replace(
                head, cipher=msgspec.structs.replace(other.cipher, commitment32=head.cipher.commitment32)
            ),
            KEY,
        )


def test_the_key_schedule_is_the_one_of_the_format_page() -> None:
    """Computed from FORMAT.md by hand, with HMAC only."""
    head = committed(salt=b"s" * 24)
    bare = msgspec.structs.replace(head, cipher=CipherParameters("aes-256-gcm", b"s" * 24))
    context = hashlib.sha256(encode_header_map(bare)).digest()
    info = b"kubetape/kseg@v2+AEAD_AES_256_GCM\0" + b"s" * 24 + context
    block, previous = b"", b""
    for counter in (1, 2):
        previous = hmac.digest(KEY, previous + info + bytes([counter]), "sha512")
        block += previous
    assert head.cipher.commitment32 == block[44:76]
    by_hand = AesGcmCipher(block[:32], block[32:44])
    assert open_cipher(head, KEY).open(5, b"a", by_hand.seal(5, b"a", b"p")) == b"p"
    nonce = int.from_bytes(block[32:44], "big") ^ 5
    assert by_hand.nonce(5) == nonce.to_bytes(12, "big")


def test_a_ciphertext_that_opens_under_two_keys_is_refused_for_the_second() -> None:
    """The attack the commitment is for: AES-GCM lets one ciphertext be valid under two keys.

    It is built here: with both keys' hash subkeys known, one more block makes the tags equal.
    """
    one, two, nonce = KEY, bytes(range(32, 64)), bytes(12)
    both = collide(one, two, nonce)
    assert AesGcmCipher(one, nonce).open(0, b"", both) != AesGcmCipher(two, nonce).open(0, b"", both)
    with pytest.raises(WrongKey):
        open_cipher(committed(one), two)


def collide(key_1: bytes, key_2: bytes, nonce: bytes) -> bytes:
    """16 bytes of ciphertext and a tag that are valid under both keys (Dodis et al. 2018, section 3)."""

    def block(key: bytes, data: bytes) -> int:
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return int.from_bytes(encryptor.update(data) + encryptor.finalize(), "big")

    h1, h2 = (block(key, bytes(16)) for key in (key_1, key_2))
    p1, p2 = (block(key, nonce + b"\0\0\0\1") for key in (key_1, key_2))
    lengths = 128  # no additional data, one block of ciphertext
    # C*H1^2 + L*H1 + P1 = C*H2^2 + L*H2 + P2, solved for C
    right = mul(lengths, h1) ^ mul(lengths, h2) ^ p1 ^ p2
    ciphertext = mul(right, inverse(mul(h1, h1) ^ mul(h2, h2)))
    tag = mul(ciphertext, mul(h1, h1)) ^ mul(lengths, h1) ^ p1
    return ciphertext.to_bytes(16, "big") + tag.to_bytes(16, "big")


def mul(x: int, y: int) -> int:
    """In GF(2^128) as GCM has it: the first bit is the lowest power."""
    product = 0
    for bit in range(127, -1, -1):
        if y >> bit & 1:
            product ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return product


def inverse(x: int) -> int:
    result = 1 << 127
    for _ in range(127):  # x^(2^128 - 2)
        x = mul(x, x)
        result = mul(result, x)
    return result


def test_parameters_of_new_segments_never_repeat() -> None:
    assert len({new_cipher_parameters().salt24 for _ in range(100)}) == 100


def test_no_text_form_shows_a_key() -> None:
    cipher = open_cipher(committed(), KEY)
    assert KEY.hex() not in repr(cipher) + str(vars(cipher))
    assert repr(KEY) not in repr(vars(cipher))

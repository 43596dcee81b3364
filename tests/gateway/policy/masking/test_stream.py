"""Streams: secrets cut anywhere, keys over many lines, prompts, long lines, terminals."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.policy.masking.detectors import NAMES, DetectorSet
from gateway.policy.masking.stream import MAX_LINE_BYTES, StreamMask
from gateway.policy.model import CustomDetector

DETECTORS = DetectorSet(NAMES)
RULES = {name: f"pack/{name}" for name in NAMES}
JWT = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
PEM = b"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabcd==\n-----END RSA PRIVATE KEY-----"
BASE64_KEY = b"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUU" + b"a" * 33
CANARIES = (
    b"AKIAIOSFODNN7EXAMPLE",
    b"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    b"AIzaSyA-1234567890abcdefghijklmnopqrstuv",
    b"AccountKey=" + b"Ab1+" * 21 + b"Ab==",
    b"ghp_" + b"a1" * 18,
    b"xoxb-1234567890-abcdef",
    JWT,
    b"4111 1111 1111 1111",
    b"GB82 WEST 1234 5698 7654 32",
    b"alice@mail.example.com",
    b"Authorization: Bearer 0a1b2c3d4e5f",
    b"postgres://u:p@ss@db:5432/x",
    b"07401b.f395accd246ae52d",
)


def stream(tty: bool = False, detectors: DetectorSet = DETECTORS) -> StreamMask:
    return StreamMask(detectors, RULES | {"own": "pack/own"}, tty)


def masked(text: bytes, cuts: tuple[int, ...] = (), *, tty: bool = False) -> bytes:
    one = stream(tty)
    ends = [*sorted(cuts), len(text)]
    parts = [one.feed(text[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    return b"".join((*parts, one.flush()))


@pytest.mark.parametrize("canary", [*CANARIES, PEM], ids=lambda canary: canary[:14].decode())
def test_a_secret_cut_at_every_byte_never_comes_out(canary: bytes) -> None:
    text = b"before " + canary + b"\nafter\n"
    whole = masked(text)
    assert canary[-12:] not in whole
    assert whole.startswith(b"before ")
    assert whole.endswith(b"\nafter\n")
    for cut in range(len(text)):
        assert masked(text, (cut,)) == whole
    assert masked(text, tuple(range(len(text)))) == whole


PARTS = (
    *CANARIES,
    PEM,
    PEM[:60],
    BASE64_KEY + b"\n",
    JWT[:20],
    b"token: abcdef.abcdefghijklmnop",
    b"x" * 40_000,
    b"eyJ" + b"a" * 40_000,
    *(b"\x1b[31m", b" \r", b"\r\n", b"\xff\x00", b"\n", b" "),
)


@given(st.lists(st.sampled_from(PARTS), max_size=12), st.lists(st.floats(0, 1), max_size=12), st.booleans())
@example([b"eyJ" + b"a" * 40_000, b"x" * 40_000, b"\n", b"x" * 40_000], [0.5], False)
@settings(max_examples=150, deadline=None)
def test_what_is_masked_does_not_depend_on_the_cuts(parts: list[bytes], cuts: list[float], tty: bool) -> None:
    text = b"".join(parts)
    assert masked(text, tuple(int(cut * len(text)) for cut in cuts), tty=tty) == masked(text, tty=tty)


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary[:14].decode())
def test_a_secret_that_comes_slowly_is_held_from_its_distinctive_beginning(canary: bytes) -> None:
    one = stream(tty=True)
    out = b""
    for byte in b"before " + canary + b"\nafter\n":
        out += one.feed(bytes((byte,))) + one.flush_idle()
    assert canary[-12:] not in out
    assert b"[masked:" in out
    assert out.endswith(b"\nafter\n")


def test_hits_are_counted_by_rule() -> None:
    one = stream()
    one.feed(JWT + b" a@b.example\nc@d.example\n" + PEM + b"\n")
    assert one.counts == {"pack/jwt": 1, "pack/email": 2, "pack/private-key": 1}


def test_whole_lines_come_out_at_once_and_the_rest_waits() -> None:
    one = stream()
    assert one.feed(b"one\ntwo") == b"one\n"
    assert one.pending
    assert one.flush_idle() == b"two"
    assert not one.pending
    assert one.feed(b"") == b""
    assert not one.pending
    assert one.feed(b"!\n") == b"!\n"


def test_a_prompt_comes_out_when_nothing_follows() -> None:
    one = stream(tty=True)
    assert one.feed(b"root@pod:/# ") == b""
    assert one.flush_idle() == b"root@pod:/# "
    assert one.hold_s < stream().hold_s


def test_a_progress_line_comes_out_when_nothing_follows() -> None:
    one = stream()
    assert one.feed(b"10%\r20%\r") + one.flush_idle() == b"10%\r20%\r"
    assert one.feed(b"30%\r") + one.flush_idle() == b"30%\r"


def test_a_beginning_is_held_without_limit_of_time_and_given_out_when_it_was_none() -> None:
    one = stream()
    assert one.feed(b"see bob@") + one.flush_idle() + one.flush_idle() == b"see "
    assert one.feed(b" home\n") == b"bob@ home\n"


def test_what_was_shown_is_still_seen_with_what_follows() -> None:
    one = stream()
    assert one.feed(b"AK") + one.flush_idle() == b"AK"
    assert one.feed(b"IAIOSFODNN7EXAMPLE\n") == b"[masked:aws-key]\n"


def test_a_custom_pattern_that_was_shown_in_part_is_masked_from_there() -> None:
    own = DetectorSet(("own",), (CustomDetector("own", r"zz-[a-z]{8}"),))
    one = stream(detectors=own)
    assert one.feed(b"a zz-abcd") + one.flush_idle() == b"a zz-abcd"
    assert one.feed(b"efgh b\n") == b"[masked:own] b\n"


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_that_is_cut_ends_at_the_first_line_that_is_no_part_of_it() -> None:
    assert masked(b"$ head -2 key\n" + PEM[:48] + b"\nroot@pod:/# exit\n") == (
        b"$ head -2 key\n[masked:private-key]\nroot@pod:/# exit\n"
    )


def test_a_prompt_behind_a_cut_key_comes_out_when_nothing_follows() -> None:
    one = stream(tty=True)
    assert one.feed(PEM[:48] + b"\r\n") + one.flush_idle() == b"[masked:private-key]"
    assert one.feed(b"root@pod:/# ") + one.flush_idle() == b"\nroot@pod:/# "


def test_a_prompt_behind_a_key_without_line_end_comes_out_when_nothing_follows() -> None:
    one = stream(tty=True)
    assert one.feed(PEM + b"root@pod:/# ") + one.flush_idle() == b"[masked:private-key]root@pod:/# "


def test_a_key_whose_lines_carry_a_prefix_is_one_hit() -> None:
    lines = PEM.split(b"\n")
    text = b"".join(b"2026-11-26T20:00:00Z stdout F " + line + b"\n" for line in lines)
    assert masked(text + b"next\n") == b"2026-11-26T20:00:00Z stdout F [masked:private-key]\nnext\n"
    one = stream()
    out = b"".join(one.feed(text[at : at + 1]) + one.flush_idle() for at in range(len(text)))
    assert b"MIIE" not in out
    assert out.endswith(b"[masked:private-key]\n")


def test_a_key_in_base64_over_several_lines_is_one_hit() -> None:
    text = BASE64_KEY + b"\n" + b"b" * 76 + b"\nabc==\n# \n"
    assert masked(text) == b"[masked:private-key]\n# \n"


def test_a_key_without_end_is_given_up_after_some_bytes() -> None:
    body = (b"A" * 64 + b"\n") * 1200
    out = masked(b"-----BEGIN PRIVATE KEY-----\n" + body)
    assert out.startswith(b"[masked:private-key]\nAAAA")


def test_a_long_line_does_not_keep_a_key_open() -> None:
    words = b"no key " * 15_000 + b"end\n"
    assert masked(b"-----BEGIN PRIVATE KEY-----\n" + words) == b"[masked:private-key]\n" + words
    begin, end = PEM[:48] + b"\n", b"-----END RSA PRIVATE KEY-----"
    assert masked(begin + end + b" word" * 20_000) == b"[masked:private-key]" + b" word" * 20_000
    assert (
        masked(begin + b"A" * 70_000 + b"\nok\n")
        == b"[masked:private-key]" + b"A" * (70_000 - MAX_LINE_BYTES) + b"\nok\n"
    )


def test_keys_are_left_alone_when_nobody_asked() -> None:
    one = stream(detectors=DetectorSet(("jwt",)))
    assert one.feed(PEM + b"\n") == PEM + b"\n"
    assert one.feed(PEM) + one.flush() == PEM


# --- long lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary[:14].decode())
def test_a_secret_at_any_place_of_a_long_line_is_masked(canary: bytes) -> None:
    for place in range(MAX_LINE_BYTES - 4096 - 80, MAX_LINE_BYTES + 80, 37):
        text = b"w " * (place // 2) + canary + b" ." * 3000
        out = masked(text)
        assert canary[-12:] not in out
        assert out.count(b"[masked:") == 1


def test_a_secret_that_is_too_long_is_masked_as_a_whole() -> None:
    long_token = b"Bearer " + b"a1" * 60_000
    assert masked(b"x " + long_token + b" rest\n") == b"x Bearer [masked:bearer] rest\n"
    assert masked(long_token, tuple(range(0, len(long_token), 5000))) == b"Bearer [masked:bearer]"
    own = stream(detectors=DetectorSet(("own",), (CustomDetector("own", r"q+"),)))
    assert own.feed(b"q" * 70_000 + b" .\n") == b"[masked:own] .\n"


# --- terminals ------------------------------------------------------------------------------------


def test_a_colour_inside_a_secret_does_not_hide_it() -> None:
    text = b"key \x1b[1mAKIA\x1b[31mIOSFODNN7\x1b[0mEXAMPLE.\r\n"
    assert masked(text) == b"key \x1b[1m[masked:aws-key]\x1b[31m\x1b[0m.\r\n"


def test_a_colour_before_a_held_beginning_comes_out() -> None:
    one = stream(tty=True)
    assert one.feed(b"\x1b[1mbob@") + one.flush_idle() == b"\x1b[1m"


def test_a_secret_wrapped_by_the_line_editor_is_seen_on_a_terminal() -> None:
    assert masked(b"$ echo AKIAIOSFOD \rNN7EXAMPLE\r\n", tty=True) == b"$ echo [masked:aws-key]\r\n"
    assert b"AKIA" in masked(b"$ echo AKIAIOSFOD \rNN7EXAMPLE\r\n")


@given(st.binary(max_size=300))
def test_bytes_without_secrets_pass_untouched(noise: bytes) -> None:
    assert (
        masked(noise, (len(noise) // 2,))
        == DETECTORS.mask(noise, lambda name: f"[masked:{name}]".encode())[0]
    )

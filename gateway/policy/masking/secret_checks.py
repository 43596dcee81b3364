"""Which candidates of the built-in detectors are secrets: checksums, shapes, what a token decodes to.

Each check takes a text and the span of a candidate and answers the spans inside it that are hidden: a run of digit
groups may hold a card number among other numbers. Linear in the candidate.
Sources: ISO/IEC 7812-1 annex B (Luhn), ISO 13616 and the SWIFT IBAN registry (lengths), RFC 7515 section 7.1.
"""

import binascii
from typing import Final

import msgspec

Spans = list[tuple[int, int]]

_SEPARATORS: Final = b" -"
_CARD_SHAPES: Final = frozenset(((4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 4, 1)))
_LONGEST_CARD: Final = 19
_SHORTEST_CARD: Final = 13
_HEXADECIMAL: Final = frozenset(b"0123456789abcdefABCDEF")
_LONGEST_DECODED_BYTES: Final = 64 * 1024
_NAME_BEFORE_BYTES: Final = 40

_IBAN_LENGTHS: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH CR HR LI LV",
    22: "BG BH DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTH: Final = {
    country.encode(): length for length, countries in _IBAN_LENGTHS.items() for country in countries.split()
}


# --- numbers --------------------------------------------------------------------------------------


def card_numbers(text: bytes, start: int, end: int) -> Spans:
    """Payment card numbers: a known issuer range, the Luhn digit, grouped as on a card or not at all.

    Not a part of a longer run of digits, of a hexadecimal word (hash, UUID) or of a decimal fraction.
    """
    groups = _digit_groups(text, start, end)
    found: Spans = []
    at = 0
    while at < len(groups):
        last = _card_at(text, groups, at)
        if last is None:
            at += 1
        else:
            found.append((groups[at][0], groups[last][1]))
            at = last + 1
    return found


def _digit_groups(text: bytes, start: int, end: int) -> Spans:
    groups: Spans = []
    begin = start
    for at in range(start, end):
        if text[at] in _SEPARATORS:
            groups.append((begin, at))
            begin = at + 1
    return [*groups, (begin, end)]


def _card_at(text: bytes, groups: Spans, first: int) -> int | None:
    """The last group of a card number that begins with the group `first`."""
    length = groups[first][1] - groups[first][0]
    if length != 4 and length < _SHORTEST_CARD:
        return None
    digits = b""
    shape: tuple[int, ...] = ()
    for at in range(first, min(len(groups), first + 5)):
        begin, end = groups[at]
        digits += text[begin:end][: _LONGEST_CARD + 1]
        shape = (*shape, end - begin)
        if len(digits) > _LONGEST_CARD:
            return None
        if (len(shape) == 1 or shape in _CARD_SHAPES) and _is_card(digits):
            return at if _stands_alone(text, groups[first][0], end) else None
    return None


def _is_card(digits: bytes) -> bool:
    if not _SHORTEST_CARD <= len(digits) <= _LONGEST_CARD or not _has_issuer(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = (digit - 48) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _has_issuer(digits: bytes) -> bool:
    """Visa, Mastercard, American Express, Discover, Diners, JCB, UnionPay, Maestro."""
    two, three, four = int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[:1] == b"4":
        return len(digits) in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return len(digits) == 16
    if two in (34, 37):
        return len(digits) == 15
    if two in (36, 38, 39) or 300 <= three <= 305:
        return len(digits) in (14, 16)
    if four == 6011 or two in (62, 65) or 644 <= three <= 649 or 3528 <= four <= 3589:
        return len(digits) >= 16
    return two in (50, 56, 57, 58, 63, 67) and len(digits) >= 16


def _stands_alone(text: bytes, start: int, end: int) -> bool:
    if text[start - 1 : start] == b"." and text[start - 2 : start - 1].isdigit():
        return False
    begin, stop = start, end
    while begin > max(0, start - 64) and text[begin - 1 : begin].isalnum():
        begin -= 1
    while stop < min(len(text), end + 64) and text[stop : stop + 1].isalnum():
        stop += 1
    around = text[begin:start] + text[end:stop]
    return not around or not _HEXADECIMAL.issuperset(around)


def ibans(text: bytes, start: int, end: int) -> Spans:
    """Bank account numbers: the length of their country, and mod 97 is 1. Several may stand in a row."""
    found: Spans = []
    at = start
    while at < end:
        stop = _iban_end(text, at, end)
        if stop is not None:
            found.append((at, stop))
        blank = text.find(b" ", stop or at, end)
        at = end if blank < 0 else blank + 1
    return found


def _iban_end(text: bytes, start: int, end: int) -> int | None:
    length = _IBAN_LENGTH.get(text[start : start + 2])
    if length is None:
        return None
    stop, characters = start, b""
    while stop < end and len(characters) < length:
        characters += text[stop : stop + 1].strip()
        stop += 1
    if len(characters) < length or text[stop : stop + 1].isalnum():
        return None
    number = "".join(str(int(chr(c), 36)) for c in characters[4:] + characters[:4])
    return stop if int(number) % 97 == 1 else None


# --- tokens ---------------------------------------------------------------------------------------


def json_web_tokens(text: bytes, start: int, end: int) -> Spans:
    """From the first part that decodes to a JSON object: what stands before it, behind a dot, is another word."""
    *parts, _ = text[start:end].split(b".")
    for part in parts:
        if _is_json_object(_decoded_part(part)):
            return [(start, end)]
        start += len(part) + 1
    return []


def _is_json_object(decoded: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(decoded), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _decoded_part(part: bytes) -> bytes:
    """Base64url of a token's part, b"" if it is none."""
    try:
        padded = part[:_LONGEST_DECODED_BYTES].translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (
            -len(part) % 4
        )
        return binascii.a2b_base64(padded)
    except binascii.Error:
        return b""


def opaque_tokens(text: bytes, start: int, end: int) -> Spans:
    """What follows the word bearer, unless it is a plain word ("bearer authentication-required")."""
    token = text[start:end]
    if b"authorization" in _before(text, start) or any(48 <= c <= 57 for c in token) or len(token) >= 32:
        return [(start, end)]
    return []


def cluster_tokens(text: bytes, start: int, end: int) -> Spans:
    """A bootstrap token (a digit in its secret, or named so), or a service account's JSON web token."""
    token = text[start:end]
    if len(token) != 23 or token[6:7] != b".":
        payload = _decoded_part(token.split(b".")[1])
        about = b"system:serviceaccount" in payload or b"kubernetes" in payload
        return json_web_tokens(text, start, end) if about else []
    if text[end : end + 1] in (b".", b"-"):
        return []
    named = b"token" in _before(text, start)
    return [(start, end)] if named or any(48 <= c <= 57 for c in token[7:]) else []


def _before(text: bytes, start: int) -> bytes:
    """What stands before a candidate in its line, in small letters."""
    return text[max(0, start - _NAME_BEFORE_BYTES) : start].rpartition(b"\n")[2].lower()

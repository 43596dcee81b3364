"""A private key over several lines of a stream: where it begins, which lines belong to it, where it ends.

A key begins with its PEM line (or the base64 of one) and is over at its END line. If that never comes (`head -5
key.pem`, an interrupted `cat`), it is over at the first line that cannot be a part of it, so that a prompt is never
taken for one. Lines may carry a prefix (timestamps of logs, indentation): as many words as the first line had.

The trap: a line of the body looks like any word. Belonging to a key is decided for words only while one is open.
Source: RFC 7468 (PEM), RFC 1421 section 4.6 (Proc-Type, DEK-Info).
"""

from typing import Final

import msgspec

from gateway.policy.masking.private_keys import (
    BASE64_KEY,
    PEM_BODY,
    PEM_KEY,
    PEM_KEY_END,
    compile_key_pattern,
)

MAX_KEY_BYTES: Final = 64 * 1024
"""Longest key: RSA with 16384 bits is 13 KiB. After this many bytes without an end it is no key."""


_BEGIN: Final = compile_key_pattern(PEM_KEY)
_END: Final = compile_key_pattern(PEM_KEY_END)
_BODY: Final = compile_key_pattern(PEM_BODY)
_BASE64: Final = compile_key_pattern(BASE64_KEY + rb"\r?")
_BASE64_WIDTHS: Final = (64, 76)  # of lines, as openssl and base64 wrap them
_WORD: Final = compile_key_pattern(rb"[\"']?[A-Za-z0-9+/=\\]*[\"',|]*")
_LONG_WORD: Final = compile_key_pattern(rb"[A-Za-z0-9+/=]{40}")
_PARTIAL_END: Final = compile_key_pattern(rb"-{1,5}(?: ?E(?:N(?:D[A-Z0-9 -]*)?)?)?\z")
_HEADER: Final = compile_key_pattern(rb"(?:Proc-Type|DEK-Info|Version|Comment|X-[A-Za-z-]+): ?")


class KeyBegins(msgspec.Struct, frozen=True):
    """An unfinished key in a line, up to the line's end.

    words_before: of the line, before the key. base64_width: of each line but the last, 0: the key is no base64.
    """

    start: int
    words_before: int = 0
    base64_width: int = 0


def may_begin(text: bytes) -> bool:
    """Whether any line needs `find_begin`: cheap."""
    return b"PRIVATE KEY" in text or b"LS0tLS1CRUdJTi" in text


def find_begin(line: bytes) -> KeyBegins | None:
    """The key that begins in a line and is not over at its end. Keys that are whole are the detector's."""
    width = len(line.rstrip(b"\r"))
    if width in _BASE64_WIDTHS and _BASE64.fullmatch(line) is not None:
        return KeyBegins(0, base64_width=width)
    at, has_end = 0, True
    while (begin := _BEGIN.search(line, at)) is not None:
        end = _END.search(line, begin.end()) if has_end else None
        has_end = end is not None
        at = (_BODY.match(line, begin.end()) if end is None else end).end()
        if end is None and at == len(line):
            return KeyBegins(begin.start(), len(line[: begin.start()].split()))
    return None


def find_end(line: bytes) -> int | None:
    """Behind the END mark in a line of an open key."""
    end = _END.search(line)
    return None if end is None else int(end.end())


def belongs(line: bytes, begins: KeyBegins, *, is_partial: bool = False) -> bool:
    """Whether a line without END mark can be a part of the open key. is_partial: it may go on."""
    words = line.split()
    if begins.base64_width:
        return len(line.strip()) <= begins.base64_width and len(words) == 1 and _is_word(words[0])
    if is_partial and (len(words) < begins.words_before or _PARTIAL_END.search(line) is not None):
        return True
    if len(words) in (0, begins.words_before):
        return True
    if len(words) == begins.words_before + 1 and _is_word(words[-1]):
        return True
    return _LONG_WORD.search(line) is not None or _HEADER.search(line) is not None


def _is_word(word: bytes) -> bool:
    return _WORD.fullmatch(word) is not None

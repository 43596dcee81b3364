"""Detectors over the strings of a decoded value: its texts, its keys, numbers long enough to be a card's, and base64.

Which places are base64 is for the caller to say; nothing is guessed from how a string looks.
"""

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gateway.policy.masking.detectors import Hit, replace_hits
from gateway.policy.masking.hiding import placeholder

MIN_NUMBER: Final = 10**11
"""The shortest card number has twelve digits; smaller numbers are not looked at."""

MAX_CLEAN: Final = 4096
MAX_CLEAN_CHARACTERS: Final = 64


class Detectors(Protocol):
    """What is used of `detectors.DetectorSet`."""

    def mask(self, text: bytes, placeholder: Callable[[str], bytes]) -> tuple[bytes, Counter[str]]: ...


class TextMask:
    """Hides what detectors find, each hit counted for the rule that named the detector."""

    def __init__(self, detectors: Detectors, rule_of: Mapping[str, str]) -> None:
        self._detectors = detectors
        self._rule_of = dict(rule_of)
        self._placeholders = {name: placeholder(rule).encode("ascii") for name, rule in rule_of.items()}
        self._clean: set[str] = set()  # short texts without hits: the same names stand in every object

    def placeholder(self, detector: str) -> bytes:
        """What stands in a text in the place of a detector's hits."""
        return self._placeholders[detector]

    def octets(self, text: bytes, counts: Counter[str]) -> bytes:
        masked, hits = self._detectors.mask(text, self.placeholder)
        if not hits:
            return text
        for name, count in hits.items():
            counts[self._rule_of[name]] += count
        return masked

    def in_place(self, body: bytes, hits: list[Hit], counts: Counter[str]) -> bytes:
        """JSON bytes with these hits, of strings in it, replaced."""
        counts.update(self._rule_of[name] for _, _, name in hits)
        return replace_hits(body, hits, self.placeholder)

    def text(self, text: str, counts: Counter[str]) -> str:
        if text in self._clean:
            return text
        octets = text.encode("utf-8", "surrogateescape")
        masked = self.octets(octets, counts)
        if masked is not octets:
            return masked.decode("utf-8", "surrogateescape")
        if len(text) <= MAX_CLEAN_CHARACTERS:
            if len(self._clean) >= MAX_CLEAN:
                self._clean.clear()
            self._clean.add(text)
        return text

    def encoded(self, text: str, counts: Counter[str]) -> str:
        """The same for base64; what is not valid base64 is text."""
        try:
            octets = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return self.text(text, counts)
        masked = self.octets(octets, counts)
        return text if masked is octets else base64.b64encode(masked).decode("ascii")

    def value(self, value: object, counts: Counter[str], *, encoded: bool = False) -> object:
        """A decoded value with hits hidden; maps and lists are changed in place."""
        if isinstance(value, str):
            return self.encoded(value, counts) if encoded else self.text(value, counts)
        if isinstance(value, dict):
            for key, member in value.items():
                value[key] = self.value(member, counts, encoded=encoded)
            self.keys(value, counts)
            return value
        if isinstance(value, list):
            value[:] = [self.value(item, counts, encoded=encoded) for item in value]
            return value
        if type(value) is int and value >= MIN_NUMBER and self.text(digits := str(value), counts) != digits:
            return 0
        return value

    def keys(self, members: dict[str, object], counts: Counter[str]) -> None:
        """Hide hits in names. No two members become one: their number is told apart by a suffix."""
        before = counts.total()
        names = [self.text(name, counts) for name in members]
        if counts.total() == before:
            return
        values = list(members.values())
        members.clear()
        for name, value in zip(names, values, strict=True):
            unique, number = name, 1
            while unique in members:
                number += 1
                unique = f"{name}-{number}"
            members[unique] = value

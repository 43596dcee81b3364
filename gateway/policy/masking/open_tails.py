"""The end of a text that could still become a secret when more of it arrives.

A stream holds such an end back even when nothing more comes for a while. Only beginnings that hardly mean anything else
count (AKIA, eyJ, a word and @, a password in a URL): a prompt or what a person types must appear at once. What a
secret's beginning gave away before it became distinctive is at most its well-known prefix, or the digits of a card
number that receipts show as well.
"""

from collections.abc import Iterable
from typing import Final

import re2

_JWT: Final = rb"e(?:yJ|yA|wo|w0)[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*"

_TAILS: Final[dict[str, bytes]] = {
    "private-key": (
        rb"(-{4,5} ?BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY[A-Z -]*"
        rb"(?:[A-Za-z0-9+/=:,]|\s|\\+[nrt/]?)*(?:-[A-Z -]*)?"
        rb"|LS0tLS1CRUdJTi[A-Za-z0-9+/=]*)"
    ),
    "aws-key": (
        rb"(?:\b|_)(A(?:KIA|SIA|BIA|CCA)[A-Z0-9]*)"
        rb"|(?i:secret[_-]?access[_-]?key|session[_-]?token|aws[_-]?secret(?:[_-]?key)?)"
        rb"[^A-Za-z0-9/+\n]{1,64}([A-Za-z0-9/+]+=*)"
    ),
    "gcp-key": (
        rb"\b((?:AIza|GOCSPX-|ya29\.)[A-Za-z0-9_-]*)"
        rb"|\bprivate_key(?:_id)?\\*[\"'][ \t]*:[ \t]*\\*[\"']((?:[^\"'\\\n]|\\+[nru/])+\\*)"
    ),
    "azure-key": (
        rb"(?i:account_?key|shared_?access_?key|endpoint_?key)[\"'\\]*[ \t]*[:=][ \t]*[\"'\\]*([A-Za-z0-9+/%]+=*)"
        rb"|(?i:\bsig)=([A-Za-z0-9%/+_-]+=?)"
    ),
    "github-token": rb"\b((?:gh[pousr]_|github_pat_)[A-Za-z0-9_]*)",
    "slack-token": (
        rb"\b(xox[abceoprs][-.][A-Za-z0-9.-]*|xapp-[0-9]-[A-Za-z0-9-]*)"
        rb"|\bhooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/]+)"
    ),
    "jwt": rb"(" + _JWT + rb")",
    "card": rb"(?:^|[^0-9 -])[ -]?([2-6](?:[ -]?[0-9]){5,18}[ -]?)",
    "iban": rb"\b([A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}(?: ?[A-Z0-9])*)",
    "email": rb"([A-Za-z0-9._%+-]+@[A-Za-z0-9.-]*)",
    "bearer": (
        rb"(?i:\bauthorization[\"'\\]*[ \t]*[:=][ \t]*[\"'\\]*(?:bearer|basic|token)[ \t]+)([^\s\"'\\]+)"
        rb"|(?i:\bbearer)[ \t]+([A-Za-z0-9._~+/=-]+)"
    ),
    "basic-auth-url": rb"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'<>]*:([^\s/\"'<>]+)",
    "k8s-token": rb"\b([a-z0-9]{6}\.[a-z]*[0-9][a-z0-9]*)|(" + _JWT + rb")",
}


class OpenTails:
    """The open ends of some detectors. Those of a policy's own patterns have none: nothing is known about them."""

    def __init__(self, names: Iterable[str]) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.never_nl = True
        options.log_errors = False
        self._tails = [
            (name, re2.compile(rb"(?:" + _TAILS[name] + rb")\z", options)) for name in names if name in _TAILS
        ]

    def find(self, text: bytes) -> tuple[int, str] | None:
        """Where the end of `text` that has to wait begins, and for which detector; None: nothing has to."""
        found = [
            (match.end() - len(next(filter(None, match.groups()))), name)
            for name, tail in self._tails
            if (match := tail.search(text)) is not None
        ]
        return min(found, default=None)

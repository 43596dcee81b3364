"""Which session a call belongs to: what one principal does under one credential, until 30 idle minutes."""

import secrets
import time
from collections import OrderedDict
from typing import Final

from gateway.principal import Principal

IDLE_NS: Final = 30 * 60 * 1_000_000_000
MAX_OPEN: Final = 50_000
"""Sessions remembered at once; the longest idle one is forgotten first (its next call opens a new one)."""

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def make_session_id(now_ns: int, entropy: int) -> str:
    """A ULID: 26 characters, sortable by time. entropy: 80 random bits."""
    number = ((now_ns // 1_000_000) & ((1 << 48) - 1)) << 80 | (entropy & ((1 << 80) - 1))
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


class Sessions:
    """The open sessions of one worker, by credential."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[str, int]] = OrderedDict()  # credential -> (session, last use)

    def session_for(self, principal: Principal, *, now_ns: int | None = None) -> tuple[str, bool]:
        """The session of this call, and whether it begins with it. ("", True): `agree` with others first."""
        now = time.time_ns() if now_ns is None else now_ns
        key = principal.credential_id
        known = self._open.get(key)
        if known is not None and now - known[1] <= IDLE_NS:
            self._open[key] = (known[0], now)
            self._open.move_to_end(key)
            return known[0], False
        session = make_session_id(now, secrets.randbits(80))
        self._remember(key, session, now)
        return session, True

    async def agree(self, principal: Principal) -> tuple[str, bool]:
        """What `session_for` could not tell by itself: the only worker of a gateway always can."""
        return self.session_for(principal)

    def open_session(self, principal: Principal, *, now_ns: int | None = None) -> str:
        """The session this credential has now, "" if none; asking neither begins nor prolongs one."""
        now = time.time_ns() if now_ns is None else now_ns
        session, last_use = self._open.get(principal.credential_id, ("", 0))
        return session if now - last_use <= IDLE_NS else ""

    def _remember(self, key: str, session: str, now_ns: int) -> None:
        self._open[key] = (session, now_ns)
        self._open.move_to_end(key)
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)

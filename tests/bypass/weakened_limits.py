"""Weak builds for what one client may take of everybody (S18, S19)."""

from typing import Final

import msgspec
import pytest
import trio

from gateway import admission
from gateway.identity import claims
from gateway.server import http1, listener
from protocol import http1_heads, http2_blocks, http2_budgets, http2_headers, query
from protocol.http1 import Http1Server
from tests.bypass.editing import Weaken, edit, swap
from tests.bypass.test_s18_s19_floods import (
    claim_thousands_of_groups,
    continue_headers_without_end,
    drip_a_head,
    flood_with_frames,
    reset_rapidly,
    send_too_much_of_everything,
    stall_handshakes,
)
from tests.bypass.weakening import Weakening


def one_handshake_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """The handshake on the accept loop: the next client waits for the one before it."""
    whole = listener.Listener._handshake
    turn = trio.Lock()

    async def handshake(self: listener.Listener, stream: object, source_address: str) -> bool:
        async with turn:
            return await whole(self, stream, source_address)  # type: ignore[arg-type]

    patch.setattr(listener.Listener, "_handshake", handshake)


def without_limits(**changes: int) -> Weaken:
    limits = msgspec.structs.replace(http1_heads.REQUEST_LIMITS, **changes)
    return swap(Http1Server.__init__, "__defaults__", (limits,))


WEAKENINGS: Final = (
    Weakening(
        "S18", "handshakes are made one after the other (GHSA-78rf-vg74-7cr8)", stall_handshakes,
        "one client stopped everybody", one_handshake_at_a_time,
    ),
    Weakening(
        "S18", "a handshake may take for ever", stall_handshakes, "who stalls is never given up",
        edit(listener.Listener._handshake, "set(stream, HANDSHAKE_TIMEOUT_S)", "set(stream, 600)"),
    ),
    Weakening(
        "S18", "every byte of a head gives it more time", drip_a_head, "who stalls is never given up",
        edit(http1.Http1Connection._next_head, "if not begun and not self._events:", "if True:"),
    ),
    Weakening(
        "S18", "frames that carry nothing are not counted", flood_with_frames, "a flood of empty frames goes on",
        edit(http2_budgets.FloodBudgets.spend, "if spent > base and", "if False and"),
    ),
    Weakening(
        "S19", "resets of a client are not counted (CVE-2023-44487)", reset_rapidly,
        "streams may be opened and reset without end",
        edit(http2_budgets.FloodBudgets.spend, "if spent > base and", "if waste is not Waste.RESET and spent > base and"),
    ),
    Weakening(
        "S19", "a header block may go on for ever (CVE-2024-27316)", continue_headers_without_end,
        "headers without an end",
        edit(http2_blocks.BlockAssembler.add_continuation,
             "if self._bytes > MAX_BLOCK_BYTES or len(self._pieces) > MAX_CONTINUATIONS + 1:", "if False:"),
    ),
    Weakening(
        "S19", "any number of header lines", send_too_much_of_everything, "beyond every measure",
        without_limits(max_fields=100_000),
    ),
    Weakening(
        "S19", "a head of any size", send_too_much_of_everything, "beyond every measure",
        without_limits(max_head_bytes=10_000_000),
    ),
    Weakening(
        "S19", "a target of any size", send_too_much_of_everything, "beyond every measure",
        without_limits(max_target_bytes=60_000),
    ),
    Weakening(
        "S19", "any number of header fields over HTTP/2", send_too_much_of_everything, "beyond every measure",
        swap(http2_headers, "MAX_FIELDS", 100_000),
    ),
    Weakening(
        "S19", "any number of parameters", send_too_much_of_everything, "beyond every measure",
        swap(query, "MAX_QUERY_PAIRS", 10_000_000),
    ),
    Weakening(
        "S19", "any number of ports", send_too_much_of_everything, "beyond every measure",
        swap(admission, "MAX_PORTS", 100_000),
    ),
    Weakening(
        "S19", "any number of groups", claim_thousands_of_groups, "a token with hundreds of groups",
        edit(claims._groups, "if len(names) > MAX_GROUPS:", "if False:"),
    ),
)  # fmt: skip

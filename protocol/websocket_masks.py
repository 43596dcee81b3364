"""Masks of RFC 6455: 4 bytes that a client XORs into every frame it sends. Drawing and applying them.

Masking is a loop over every byte, which Python must not run itself, so this one function is that of `websockets`,
in C: 1.8 us for 32 KiB, where translation tables took 36. Nothing else of that library is used here.

The trap: importing the library's other modules brings asyncio, or sockets. Source: RFC 6455 sections 5.3 and 10.3.
"""

import secrets
from collections.abc import Iterator
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # an installation without compiled code: the same function in Python, at 80 us for 32 KiB
    from websockets.utils import apply_mask

__all__ = ["MASK_BYTES", "apply_mask", "random_masks"]

MASK_BYTES: Final = 4
_DRAWN_AT_ONCE: Final = 64


def random_masks() -> Iterator[bytes]:
    """Masks without end: 4 unpredictable bytes for each frame, as RFC 6455 section 10.3 demands of a client.

    Drawn many at a time: each system call lets another thread have the interpreter, and a stream sends
    thousands of frames a second.
    """
    while True:
        drawn = secrets.token_bytes(_DRAWN_AT_ONCE * MASK_BYTES)
        for at in range(0, len(drawn), MASK_BYTES):
            yield drawn[at : at + MASK_BYTES]

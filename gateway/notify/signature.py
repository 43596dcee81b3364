"""How a receiver knows that a notice is ours, unchanged and fresh. Pure.

    Kubetape-Timestamp: 1798761600
    Kubetape-Signature: v1=<hex HMAC-SHA256 of the timestamp, a dot, and the body, under the shared secret>

The time is signed so that a captured notice cannot be sent again later: a receiver refuses one that is older than
five minutes, and remembers `Kubetape-Delivery` for as long. docs/approvals.md has the code.
"""

import hashlib
import hmac
from typing import Final

MIN_SECRET_BYTES: Final = 16


def sign(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """The value of Kubetape-Signature. timestamp_s: POSIX seconds, as in Kubetape-Timestamp."""
    signed = str(timestamp_s).encode() + b"." + body
    return "v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()

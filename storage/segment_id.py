"""Segment ids: UUIDs of version 7, so that they sort roughly by time and never collide."""

import secrets


def new_segment_id(now_ns: int) -> str:
    """A UUID version 7 (RFC 9562): UTC milliseconds, then 74 random bits; 36 characters."""
    value = (now_ns // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

"""JSON bodies -> objects, strictly: one object, nothing behind it. What is not one is None, and the caller's to judge."""

import msgspec


def parse_json_object(body: bytes) -> dict[str, object] | None:
    """Decode a JSON object; None for whatever else the bytes are."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None

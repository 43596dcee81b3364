"""What came over HTTP, in a few words for a person: lists by their names, refusals as kubectl prints them. Pure."""

import base64
import json

from protocol.status import parse_status


def shown_answer(answer: bytes) -> str:
    """An answer's body: one JSON object, the JSON lines of a watch, or plain text."""
    lines = answer.splitlines()
    shown = [_shown_json(line) for line in lines if line.startswith(b"{")]
    if shown and len(shown) == len(lines):
        return "\n".join(shown)
    return _shown_json(answer) if answer.startswith(b"{") else answer.decode("utf-8", "replace")


def shown_refusal(status: int, body: bytes) -> str:
    """An answer that is no success, as kubectl prints it."""
    told = parse_status(body)
    if told is None or not told.message:
        return f"error: answered with {status}"
    return f"Error from server ({told.reason}): {told.message}"


def _shown_json(text: bytes) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")
    if "object" in found and "type" in found:
        return f"{found['type']} {_named(found['object'])}"
    if "items" in found:
        return f"{found.get('kind')}: {', '.join(_name(item) for item in found['items'])}"
    return _named(found)


def _named(found: dict[str, object]) -> str:
    """Kind, name, message and data, as far as there are any."""
    status = found.get("status")
    parts = [
        found.get("kind"),
        _name(found),
        status if isinstance(status, str) else "",
        found.get("message"),
        _data(found),
    ]
    return " ".join(str(part) for part in parts if part)


def _data(found: dict[str, object]) -> str:
    """Of a Secret or ConfigMap; a Secret's values decoded, as somebody who reads one would."""
    data = found.get("data")
    if not isinstance(data, dict):
        return ""
    if found.get("kind") != "Secret":
        return str(data)
    return str({key: base64.b64decode(str(value)).decode("utf-8", "replace") for key, value in data.items()})


def _name(found: object) -> str:
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

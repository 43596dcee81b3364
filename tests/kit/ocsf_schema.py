"""OCSF 1.7 as far as class API Activity goes: which fields an event must have, and of which type.

Source: github.com/ocsf/ocsf-schema, events/base_event.json, events/application/api_activity.json, objects/*.json,
profiles/security_control.json, which every class may have.
"""

import json
from typing import Any

# object -> required fields, and those of which at least one must be there
REQUIRED: dict[str, tuple[str, ...]] = {
    "event": (
        "activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid",
        "actor", "api", "src_endpoint",
    ),
    "metadata": ("product", "version"),
    "api": ("operation",),
    "request": ("uid",),
    "http_response": ("code",),
}  # fmt: skip
AT_LEAST_ONE: dict[str, tuple[str, ...]] = {
    "actor": ("process", "user", "iam_role", "invoked_by", "session", "app_name", "app_uid"),
    "user": ("account", "name", "uid"),
    "src_endpoint": ("ip", "uid", "name", "hostname", "instance_uid", "interface_uid", "interface_name"),
    "resources": ("name", "uid"),
    "groups": ("name", "uid"),
    "group": ("name", "uid"),
    "service": ("name", "uid"),
    "product": ("name", "uid"),
    "url": ("url_string", "path"),
    "policy": ("name", "type", "uid"),
}
KNOWN: dict[str, set[str]] = {
    "event": {
        "activity_id", "activity_name", "category_uid", "category_name", "class_uid", "class_name", "type_uid",
        "type_name", "severity_id", "severity", "time", "status_id", "status", "status_code", "status_detail",
        "message", "actor", "api", "src_endpoint", "http_request", "http_response", "resources", "metadata",
        "unmapped", "action_id", "action", "disposition_id", "disposition", "policy",
    },
    "policy": {"name", "uid", "desc"},
    "metadata": {"profiles", "product", "version", "uid", "correlation_uid", "event_code", "log_name", "original_time"},
    "product": {"name", "vendor_name", "version"},
    "actor": {"user", "session"},
    "user": {"name", "uid", "type_id", "groups"},
    "session": {"uid", "issuer", "is_remote"},
    "api": {"operation", "service", "group", "version", "request", "response"},
    "request": {"uid"},
    "response": {"code", "error", "error_message", "message"},
    "src_endpoint": {"ip", "port", "name"},
    "http_request": {"http_method", "url", "user_agent", "uid", "version", "body_length"},
    "http_response": {"code", "body_length"},
    "url": {"path", "query_string"},
    "resources": {"uid", "name", "type", "namespace", "version", "group"},
    "groups": {"name"},
    "group": {"name"},
    "service": {"name"},
}  # fmt: skip
INTEGERS = {
    "activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "status_id", "code", "port",
    "type_id", "body_length", "action_id", "disposition_id",
}  # fmt: skip
ENUMS = {
    "activity_id": {0, 1, 2, 3, 4, 99},
    "severity_id": {0, 1, 2, 3, 4, 5, 6, 99},
    "status_id": {0, 1, 2, 99},
    "action_id": {0, 1, 2, 3, 4, 99},
    "disposition_id": {*range(28), 99},
    "type_id": {0, 1, 2, 3, 4, 99},
}


def read_ocsf(line: bytes) -> dict[str, Any]:
    """Decode and check one event."""
    event: dict[str, Any] = json.loads(line)
    _check("event", event)
    assert event["class_uid"] == 6003
    assert event["category_uid"] == 6
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    return event


def _check(name: str, value: dict[str, Any]) -> None:
    missing = [field for field in REQUIRED.get(name, ()) if field not in value]
    assert not missing, f"{name} lacks {missing}"
    one_of = AT_LEAST_ONE.get(name)
    assert one_of is None or any(value.get(field) for field in one_of), (
        f"{name} needs one of {one_of}: {value}"
    )
    unknown = set(value) - KNOWN[name]
    assert not unknown, f"{name} has {unknown}"
    for field, member in value.items():
        if field in INTEGERS:
            assert type(member) is int, f"{name}.{field}: {member!r}"
        if field in ENUMS:
            assert member in ENUMS[field], f"{name}.{field}: {member!r}"
        if field == "unmapped":
            continue
        for item in member if isinstance(member, list) else [member]:
            if isinstance(item, dict):
                _check(field, item)

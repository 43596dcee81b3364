"""/openapi.json says what the API does: every route, every shape, checked against real answers."""

import json
from pathlib import Path
from typing import Any

from gateway.console.openapi import make_openapi
from gateway.console.routes import ROUTES
from tests.kit.console_rig import open_console

DOCUMENT = json.loads(make_openapi())
SCHEMAS = DOCUMENT["components"]["schemas"]


def fits(value: Any, schema: dict[str, Any]) -> list[str]:
    """What in a value does not fit a schema, as far as our schemas go: type, $ref, required, items, enum, nothing more."""
    if "$ref" in schema:
        return fits(value, SCHEMAS[schema["$ref"].rpartition("/")[2]])
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if not isinstance(value, kinds[schema["type"]]) or (schema["type"] == "integer" and value is True):
        return [f"{value!r} is no {schema['type']}"]
    problems = []
    if isinstance(value, dict):
        problems += [f"{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, member in value.items():
            known = schema["properties"].get(name)
            problems += fits(member, known) if known else [f"{name} is not in the document"]
    if isinstance(value, list):
        problems += [problem for item in value for problem in fits(item, schema["items"])]
    if "enum" in schema and value not in schema["enum"]:
        problems.append(f"{value!r} is none of {schema['enum']}")
    return problems


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return found


def answer_schema(method: str, path: str, status: int) -> dict[str, Any]:
    schema: dict[str, Any] = operation(method, path)["responses"][str(status)]["content"]["application/json"][
        "schema"
    ]
    return schema


def test_it_holds_exactly_what_is_served() -> None:
    documented = {
        (method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations
    }
    assert documented == {(route.method, route.path) for route in ROUTES}


def test_every_operation_has_a_name_of_its_own_and_a_line_that_says_what_it_does() -> None:
    operations = [one for operations in DOCUMENT["paths"].values() for one in operations.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] for one in operations)


def test_every_reference_leads_somewhere() -> None:
    names = {
        part.split('"')[0] for part in make_openapi().decode().split('"$ref":"#/components/schemas/')[1:]
    }
    assert names <= set(SCHEMAS)


def test_bodies_are_strict_in_the_document_as_in_the_code() -> None:
    for route in ROUTES:
        if route.body is not None:
            assert SCHEMAS[route.body.__name__]["additionalProperties"] is False


async def test_it_is_served(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        status, served = await rig.ask("", "GET", "/openapi.json")
        assert (status, served) == (200, DOCUMENT)
        assert (await rig.raw("", "HEAD", "/openapi.json")).status == 200


async def test_real_answers_fit_it(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        hold, grant = await rig.hold(argv=("ls",), quorum=2), await rig.grant()
        ids = {"hold": hold.id, "grant": grant.id}
        asked = [
            (
                "bob",
                "POST",
                "/api/v1/approvals/{id}/approve",
                f"/api/v1/approvals/{hold.id}/approve",
                {"note": "ok"},
            ),
            ("bob", "GET", "/api/v1/approvals/{id}", f"/api/v1/approvals/{hold.id}", None),
            (
                "sue",
                "POST",
                "/api/v1/approvals/{id}/deny",
                f"/api/v1/approvals/{hold.id}/deny",
                {"note": "no"},
            ),
            ("ann", "GET", "/api/v1/approvals", "/api/v1/approvals", None),
            ("ann", "GET", "/api/v1/bundles", "/api/v1/bundles", None),
            ("ann", "GET", "/api/v1/whoami", "/api/v1/whoami", None),
            ("sue", "POST", "/api/v1/grants/{id}/approve", f"/api/v1/grants/{grant.id}/approve", {}),
            ("ann", "GET", "/api/v1/grants", "/api/v1/grants", None),
            ("ann", "GET", "/api/v1/approvals/{id}", "/api/v1/approvals/none", None),
            ("", "GET", "/api/v1/whoami", "/api/v1/whoami", None),
            (
                "adm",
                "POST",
                "/api/v1/revocations",
                "/api/v1/revocations",
                {"kind": "user", "subject": "zoe", "reason": "left", "duration": "1h"},
            ),
            ("adm", "GET", "/api/v1/revocations", "/api/v1/revocations", None),
        ]
        for who, method, path, target, body in asked:
            status, answer = await rig.ask(who, method, target.format(**ids), body)
            schema = answer_schema(method, path, status)
            if status >= 400:
                assert {"kind", "status", "code", "message", "reason"} <= set(answer), target
                assert schema == {"$ref": "#/components/schemas/StatusDocument"}
            else:
                assert fits(answer, schema) == [], target

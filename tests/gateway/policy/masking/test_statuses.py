"""Errors of the API server: what they repeat of a refused body."""

from collections import Counter

import pytest

from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.paths import compile_paths, parse_path
from gateway.policy.masking.statuses import mask_status

HIDDEN = placeholder("p/r")
PATHS = ("data.*", "spec.containers[*].env[*].value", "metadata.labels.x")
ROOT = compile_paths((parse_path(path), "p/r") for path in PATHS)


def shown(reason: str, message: object, causes: object = None, **more: object) -> dict[str, object]:
    status: dict[str, object] = {"status": "Failure", "reason": reason, "message": message, **more}
    if causes is not None:
        status["details"] = {"causes": causes}
    mask_status(status, ROOT, "p/r", Counter())
    return status


def cause(field: object) -> dict[str, object]:
    return {"field": field, "message": 'Invalid value: "s3cret"'}


@pytest.mark.parametrize(
    "field",
    [
        "data[a]",
        "data",
        "spec",
        "spec.containers[0].env[3].value",
        "spec.containers[0]",
        "",
        None,
        "metadata.labels",
    ],
)
def test_a_cause_about_a_hidden_field_or_one_around_it_loses_its_text(field: object) -> None:
    found = shown("Invalid", 'Secret "s" is invalid: data[a]: Invalid value: "s3cret"', [cause(field), 7])
    assert "s3cret" not in str(found)
    where = f"{field}: " if field else ""
    assert found["message"] == f'Secret "s" is invalid: {where}{HIDDEN}'


@pytest.mark.parametrize("field", ["spec.replicas", "metadata.name", "spec.containers[0].image"])
def test_causes_about_other_fields_stay(field: str) -> None:
    found = shown("Invalid", "Pod is invalid: 3", [cause(field)])
    assert found["message"] == "Pod is invalid: 3"
    assert found["details"] == {"causes": [cause(field)]}


def test_any_depth_is_around_every_field() -> None:
    root = compile_paths([(parse_path("**.password"), "p/r")])
    status: dict[str, object] = {"reason": "Invalid", "message": "s", "details": {"causes": [cause("a.b")]}}
    mask_status(status, root, "p/r", Counter())
    assert status["message"] == f"a.b: {HIDDEN}"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("BadRequest", '...|"a":"s3cret"|...'),
        ("InternalError", "s3cret"),
        ("Forbidden", 'admission webhook "w" denied the request: s3cret'),
        ("Forbidden", 'x is forbidden: User "u" cannot get resource "p": admission s3cret'),
        ("", "s3cret"),
    ],
)
def test_a_text_nobody_can_attribute_is_hidden(reason: str, message: str) -> None:
    for causes in (None, [], "x"):
        assert shown(reason, message, causes)["message"] == HIDDEN


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("NotFound", 'secrets "x" not found'),
        ("Conflict", "the object has been modified"),
        ("Forbidden", 'secrets "x" is forbidden: User "u" cannot get resource "secrets" in API group ""'),
    ],
)
def test_texts_made_from_names_stay(reason: str, message: str) -> None:
    assert shown(reason, message)["message"] == message


def test_success_and_a_status_without_a_message_stay() -> None:
    assert shown("", "done", status="Success")["message"] == "done"
    assert "message" not in {k for k, v in shown("Invalid", None).items() if v is not None}

"""The published schema is the one the program has, and agrees with what it accepts."""

import json
from pathlib import Path

import pytest

from gateway.policy.schema import _open_value, policy_schema

PUBLISHED = Path(__file__).parents[3] / "docs" / "policy.schema.json"


def test_the_published_schema_is_the_one_of_this_version() -> None:
    assert PUBLISHED.read_bytes() == policy_schema(), "run: kubetape policy schema > docs/policy.schema.json"


def test_unknown_keys_are_mistakes_in_the_schema_too() -> None:
    schema = json.loads(policy_schema())
    structs = [part for part in schema["$defs"].values() if part.get("type") == "object"]
    assert structs
    assert all(part["additionalProperties"] is False for part in structs)


def test_a_type_it_does_not_know_is_a_bug() -> None:
    with pytest.raises(NotImplementedError):
        _open_value(int)

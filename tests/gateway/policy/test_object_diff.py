"""What an approver reads of a change."""

from gateway.policy.model import JsonObject
from gateway.policy.object_diff import MAX_LINES, MAX_OBJECT_LINES, object_diff


def deployment(replicas: int, **metadata: object) -> JsonObject:
    return {"kind": "Deployment", "metadata": {"name": "d", **metadata}, "spec": {"replicas": replicas}}


def test_a_change_is_shown_as_lines_before_and_after() -> None:
    diff = object_diff(deployment(1), deployment(3))
    assert '-    "replicas": 1' in diff
    assert '+    "replicas": 3' in diff


def test_what_the_server_writes_by_itself_is_no_change() -> None:
    old = deployment(1, managedFields=[{"a": 1}], resourceVersion="1", generation=1)
    new = deployment(1, managedFields=[{"b": 2}], resourceVersion="2", generation=2)
    assert object_diff(old, new) == ""


def test_a_new_and_a_deleted_object_are_all_plus_and_all_minus() -> None:
    made, gone = object_diff(None, {"a": 1}), object_diff({"a": 1}, None)
    assert '+  "a": 1' in made
    assert '-  "a": 1' in gone
    assert object_diff(None, None) == ""


def test_a_long_diff_is_cut_and_a_huge_object_is_not_compared() -> None:
    long = object_diff(None, {f"k{number}": number for number in range(MAX_LINES + 50)})
    assert long.splitlines()[-1].startswith("... ")
    huge = object_diff(None, {f"k{number}": number for number in range(MAX_OBJECT_LINES + 1)})
    assert huge.startswith("(too large to compare")

from typing import Any

import pytest

from gateway.demo.standin.api.patching import apply_json_patch, apply_merge_patch, apply_strategic_patch
from gateway.demo.standin.replies import Failure


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], {"a": "b"}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_are_those_of_the_rfc(target: Any, patch: Any, expected: Any) -> None:
    assert apply_merge_patch(target, patch) == expected


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/list/1", "value": 9}], {"list": [1, 9, 2], "a/b": 1}),
        ([{"op": "add", "path": "/list/-", "value": 9}], {"list": [1, 2, 9], "a/b": 1}),
        ([{"op": "remove", "path": "/a~1b"}], {"list": [1, 2]}),
        ([{"op": "replace", "path": "/list", "value": []}], {"list": [], "a/b": 1}),
        ([{"op": "move", "from": "/a~1b", "path": "/c"}], {"list": [1, 2], "c": 1}),
        ([{"op": "copy", "from": "/list/0", "path": "/c"}], {"list": [1, 2], "a/b": 1, "c": 1}),
        ([{"op": "test", "path": "/list/0", "value": 1}, {"op": "remove", "path": "/list"}], {"a/b": 1}),
    ],
)
def test_json_patches_are_those_of_the_rfc(operations: Any, expected: Any) -> None:
    assert apply_json_patch({"list": [1, 2], "a/b": 1}, operations) == expected


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "remove", "path": "/nope"}],
        [{"op": "replace", "path": "/nope", "value": 1}],
        [{"op": "add", "path": "/a/b/c", "value": 1}],
        [{"op": "frobnicate", "path": "/a"}],
        [{"op": "add", "path": "no-slash", "value": 1}],
        [{"path": "/a"}],
    ],
)
def test_an_operation_that_does_not_apply_is_422(operations: Any) -> None:
    with pytest.raises(Failure) as failure:
        apply_json_patch({"a": 1}, operations)
    assert failure.value.code == 422


def test_a_json_patch_is_a_list() -> None:
    with pytest.raises(Failure) as failure:
        apply_json_patch({}, {"op": "add"})
    assert failure.value.code == 400


def test_strategic_merge_joins_containers_and_their_environment_by_name() -> None:
    target = {
        "containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]
    }
    patch = {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}, {"name": "c"}]}
    merged = apply_strategic_patch(target, patch)
    env = [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]
    assert merged["containers"] == [{"name": "a", "image": "1", "env": env}, {"name": "b"}, {"name": "c"}]


def test_strategic_merge_follows_the_directives_kubectl_sends() -> None:
    target = {"containers": [{"name": "a"}, {"name": "b"}], "finalizers": ["x", "y"], "keep": 1, "drop": 2}
    patch = {
        "$setElementOrder/containers": [{"name": "b"}],
        "containers": [{"name": "a", "$patch": "delete"}],
        "$deleteFromPrimitiveList/finalizers": ["x"],
        "$retainKeys": ["containers", "finalizers", "keep"],
    }
    assert apply_strategic_patch(target, patch) == {
        "containers": [{"name": "b"}],
        "finalizers": ["y"],
        "keep": 1,
    }
    assert apply_strategic_patch({"a": 1}, {"$patch": "replace", "b": 2}) == {"b": 2}


def test_lists_without_a_merge_key_are_replaced() -> None:
    assert apply_strategic_patch({"args": ["a"]}, {"args": ["b"]}) == {"args": ["b"]}


def test_a_patch_never_changes_what_it_is_applied_to() -> None:
    target = {"a": {"b": [1]}}
    apply_strategic_patch(target, {"a": {"b": [2]}})
    apply_json_patch(target, [{"op": "add", "path": "/a/b/-", "value": 2}])
    apply_merge_patch(target, {"a": {"b": None}})
    assert target == {"a": {"b": [1]}}

"""Paths of masks: read with a position for every error, and compiled with their twins."""

import pytest

from gateway.policy.masking.paths import (
    ANY_DEPTH,
    ANY_ITEM,
    ANY_KEY,
    BadPath,
    Step,
    compile_paths,
    expand,
    parse_path,
)


def names(text: str) -> list[str]:
    return ["/".join(step.name or step.wildcard for step in path) for path in expand(parse_path(text))]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("data.*", (Step("", "data"), Step(ANY_KEY))),
        ("a[*][*].b", (Step("", "a"), Step(ANY_ITEM), Step(ANY_ITEM), Step("", "b"))),
        ('m["a.b/c"].d', (Step("", "m"), Step("", "a.b/c"), Step("", "d"))),
        ('["a\\"b\\\\"]', (Step("", 'a"b\\'),)),
        ("**.password", (Step(ANY_DEPTH), Step("", "password"))),
        ("*.x-y_z$", (Step(ANY_KEY), Step("", "x-y_z$"))),
    ],
)
def test_a_path_is_read_into_steps(text: str, steps: tuple[Step, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    ("text", "position", "why"),
    [
        ("", 0, "empty"),
        ("a..b", 2, "a name is missing"),
        ("a.", 2, "a name is missing"),
        ("a b", 1, 'between two names stands "."'),
        ("a[0]", 1, "for every item"),
        ('a["b', 1, "in quotes"),
        ("a.pass*", 6, "cannot be matched"),
        ("a.**", 2, "needs a name after it"),
        ("a." * 600, 0, "at most 1024"),
        (".".join("a" * 33), 0, "at most 32 steps"),
    ],
)
def test_a_bad_path_says_where_and_what(text: str, position: int, why: str) -> None:
    with pytest.raises(BadPath, match=why.replace(".", r"\.").replace("*", r"\*")) as found:
        parse_path(text)
    assert found.value.position == position


def test_the_content_of_secrets_and_config_maps_is_one_whatever_its_name() -> None:
    for name in ("data", "stringData", "binaryData"):
        assert names(f"{name}.x") == ["data/x", "stringData/x", "binaryData/x"]


def test_a_path_into_a_pod_holds_for_all_containers_and_in_templates() -> None:
    found = names("spec.containers[*].args")
    assert "spec/ephemeralContainers/[*]/args" in found
    assert "spec/template/spec/initContainers/[*]/args" in found
    assert "spec/jobTemplate/spec/template/spec/containers/[*]/args" in found
    assert "data/spec/template/spec/containers/[*]/args" in found
    assert len(found) == 15
    assert names("spec") == [
        "spec",
        "spec/template/spec",
        "spec/jobTemplate/spec/template/spec",
        "template/spec",
        "data/spec/template/spec",
    ]


def test_a_path_through_the_items_of_a_list_holds_for_each_item() -> None:
    assert names("items[*].status.x") == ["items/[*]/status/x", "status/x"]
    assert names("items.status") == ["items/status", "status"]
    assert names("items") == ["items", "*"]
    assert names("items[*]") == ["items/[*]", "*"]


def test_other_paths_stand_for_themselves() -> None:
    assert names("status.token") == ["status/token"]
    assert names("**.password") == ["**/password"]


def test_the_first_rule_of_a_place_counts() -> None:
    path = parse_path("a[*].b")
    root = compile_paths(
        [(path, "p/1"), (path, "p/2"), (parse_path("*"), "p/3"), (parse_path("**.c"), "p/4")]
    )
    item = root.keys["a"].any_item
    assert item is not None
    assert item.keys["b"].rule == "p/1"
    assert root.any_key is not None
    assert root.any_key.rule == "p/3"
    assert root.any_depth is not None
    assert root.any_depth.keys["c"].rule == "p/4"

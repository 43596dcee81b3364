"""Tables: cells by column, objects of rows."""

from collections import Counter

import pytest

from gateway.policy.masking.detectors import DetectorSet
from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.objects import ObjectMask
from gateway.policy.masking.paths import compile_paths, expand, parse_path
from gateway.policy.masking.tables import Columns, TableMask
from gateway.policy.masking.texts import TextMask
from gateway.policy.model import Mask

HIDDEN = placeholder("p/r")
KEY_ID = "AKIAIOSFODNN7EXAMPLE"


def table(group: str, *paths: str, columns: tuple[str, ...] = (), detectors: bool = False) -> TableMask:
    named = [(parse_path(path), "p/r") for path in paths]
    pairs = [(twin, rule) for path, rule in named for twin in expand(path)]
    texts = TextMask(DetectorSet(["aws-key"]), {"aws-key": "p/r"}) if detectors else None
    objects = ObjectMask(compile_paths(pairs), texts, "p/r")
    return TableMask(Columns([Mask("p/r", columns=columns)], named, group), objects, texts)


def hidden(found: TableMask, *names: str) -> list[str]:
    """Which of these columns lose their cells."""
    found.columns([{"name": name} for name in names])
    row: dict[str, object] = {"cells": ["x" for _ in names]}
    found.row(row, "", Counter())
    cells = row["cells"]
    assert isinstance(cells, list)
    return [name for name, cell in zip(names, cells, strict=True) if cell == HIDDEN]


def test_columns_are_named_in_any_case() -> None:
    assert hidden(table("", columns=("TOKEN", "name")), "Name", "Token", "Age") == ["Name", "Token"]


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("status.podIP", ["IP"]),
        ("spec.containers[*].image", ["Images"]),
        ("spec.containers[*].name", ["Containers"]),
        ("metadata.name", []),
        ("data.*", []),
        ("status", ["IP", "Images", "Containers", "Data"]),
        ("*", ["IP", "Images", "Containers", "Data"]),
    ],
)
def test_columns_of_built_in_kinds_follow_the_paths(path: str, columns: list[str]) -> None:
    assert hidden(table("apps", path), "Name", "IP", "Images", "Containers", "Data", "Age") == columns


def test_of_other_kinds_a_path_hides_every_column_that_may_come_from_it() -> None:
    assert hidden(table("example.com", "spec.x"), "Name", "Namespace", "Ready", "Age") == ["Ready"]
    assert hidden(table("example.com", "metadata.labels.team"), "Name", "Team", "Ready") == ["Team"]
    assert hidden(table("example.com", 'metadata.annotations["x"]'), "Ready") == []


def test_cells_without_a_column_are_hidden_where_any_is() -> None:
    found = table("", columns=("token",))
    row: dict[str, object] = {"cells": ["a", 1]}
    found.columns([])
    found.columns(None)
    found.row(row, "", Counter())
    assert row["cells"] == [HIDDEN, 0]
    nameless = table("example.com", columns=("token",))
    nameless.columns([7, {"name": "Token"}])
    other: dict[str, object] = {"cells": ["a", "b", "c"]}
    nameless.row(other, "", Counter())
    assert other["cells"] == ["a", HIDDEN, HIDDEN]


def test_detectors_look_at_other_cells_conditions_and_objects() -> None:
    row: dict[str, object] = {
        "cells": [KEY_ID, 5],
        "conditions": [{"message": KEY_ID}],
        "object": {"metadata": {"name": KEY_ID}},
    }
    found = table("", detectors=True)
    assert not found.has_columns
    found.row(row, "", Counter())
    assert row == {
        "cells": [HIDDEN, 5],
        "conditions": [{"message": HIDDEN}],
        "object": {"metadata": {"name": HIDDEN}},
    }


def test_rows_of_another_shape_do_no_harm() -> None:
    found = table("", "data.*")
    for row in (None, 7, {}, {"cells": 1, "object": None}, {"cells": ["x"]}):
        found.row(row, "", Counter())

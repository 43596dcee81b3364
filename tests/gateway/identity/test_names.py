"""What may name a user or a group."""

import pytest

from gateway.identity.errors import Unauthenticated
from gateway.identity.names import check_name


@pytest.mark.parametrize(
    "name",
    [
        "alice",
        "alice@example.com",
        "oidc:alice",
        "a b",
        "größe",
        "группа",
        "開発",
        "e\u0301",
        "System:masters",
        "x" * 256,
    ],
)
def test_ordinary_names_pass_unchanged(name: str) -> None:
    assert check_name(name, "user name") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " alice",
        "alice ",
        "\u00a0alice",
        "alice\u3000",
        "a\nb",
        "a\r\nImpersonate-Group: system:masters",
        "a\tb",
        "a\0b",
        "a\x7fb",
        "a\u202eb",  # right-to-left override: shown backwards
        "a\u200bb",  # zero width: looks like "ab"
        "a\u2028b",
        "\ufeffalice",
        " system:masters",
        "x" * 257,
        "é" * 129,
        "system:",
        "system:masters",
        "system:serviceaccount:kube-system:default",
    ],
)
def test_names_that_could_become_others_are_refused(name: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        check_name(name, "group name")
    assert "group name" in caught.value.reason
    assert len(name) < 3 or name not in str(caught.value).replace('"system:"', "")


def test_a_reserved_name_passes_only_by_exact_permission() -> None:
    assert (
        check_name("system:masters", "group name", allowed_system_names=("system:masters",))
        == "system:masters"
    )
    with pytest.raises(Unauthenticated):
        check_name("system:masters2", "group name", allowed_system_names=("system:masters",))

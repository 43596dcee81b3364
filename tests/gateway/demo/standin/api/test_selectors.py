import pytest

from gateway.demo.standin.api.selectors import parse_field_selector, parse_label_selector
from gateway.demo.standin.replies import Failure

POD = {
    "metadata": {"name": "p", "namespace": "n", "labels": {"app": "web", "tier": "front"}},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=back", False),
        ("app!=web", False),
        ("other!=web", True),
        ("app in (web, api),tier", True),
        ("app notin (web)", False),
        ("!other", True),
        ("!app", False),
    ],
)
def test_label_selectors_match_as_kubernetes_has_it(selector: str, expected: bool) -> None:
    assert parse_label_selector(selector)(POD) is expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("metadata.name=p", True),
        ("metadata.name!=p", False),
        ("status.phase==Running,metadata.namespace=n", True),
    ],
)
def test_field_selectors_match(selector: str, expected: bool) -> None:
    assert parse_field_selector(selector)(POD) is expected


@pytest.mark.parametrize("selector", ["spec.secret=x", "metadata.name"])
def test_an_unknown_field_is_refused(selector: str) -> None:
    with pytest.raises(Failure) as failure:
        parse_field_selector(selector)
    assert failure.value.code == 400


def test_a_label_selector_that_is_none_is_refused() -> None:
    with pytest.raises(Failure):
        parse_label_selector("app web")

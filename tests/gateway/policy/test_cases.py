"""Tests of a policy file that cannot be run."""

import pytest

from tests.kit.policies import problems


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("yesterday", "'yesterday' is no time: write 2026-01-31T10:00:00Z"),
        ("2026-01-05T10:00:00", "'2026-01-05T10:00:00' says no zone: write 2026-01-05T10:00:00Z"),
    ],
)
def test_a_test_that_cannot_be_run_is_a_mistake_of_the_file(at: str, message: str) -> None:
    text = f"tests:\n- {{as: {{user: a}}, request: GET /api, expect: allow, at: '{at}'}}"
    assert problems(text) == [f"2:57: {message}"]

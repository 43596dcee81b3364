"""What docs/policy.md shows is true."""

import re
from pathlib import Path

from gateway.policy.condition import VARIABLES
from gateway.policy.load import load_policy
from gateway.policy.masking.detectors import NAMES
from gateway.policy.syntax import Actions, Match
from gateway.policy.testing import run_tests

PAGE = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()


def test_the_policy_on_the_page_is_good_and_its_tests_pass() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    results = list(run_tests(load_policy({"page.yaml": text.encode()})))
    assert len(results) == 5
    assert [result.failures for result in results] == [()] * 5


def test_every_field_action_variable_and_detector_is_on_the_page() -> None:
    fields = {*Match.__struct_encode_fields__, *Actions.__struct_encode_fields__}
    names = {part for name in VARIABLES for part in name.split(".")}
    missing = [word for word in sorted(fields | names | {*NAMES}) if word not in PAGE]
    assert missing == []

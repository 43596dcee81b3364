"""The protocol cases of the Autobahn suite: 1 to 7 and 10. Those about limits (9) are for `tests/fuzz/autobahn`."""

from pathlib import Path

import pytest

from tests.fuzz.autobahn_suite import (
    PROTOCOL_CASES,
    Suite,
    SuiteUnavailable,
    failures,
    find_python2,
    installed_site,
    summary,
)

CASES = 247

pytestmark = pytest.mark.slow


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    try:
        python2 = find_python2()
        return Suite(python2, installed_site(python2), tmp_path)
    except SuiteUnavailable as unavailable:
        pytest.skip(f"the Autobahn suite cannot run here: {unavailable}")


async def test_as_a_server_no_case_of_autobahn_fails(suite: Suite) -> None:
    results = await suite.run_against_server(PROTOCOL_CASES)
    assert failures(results) == {}, summary(results)
    assert len(results) == CASES


async def test_as_a_client_no_case_of_autobahn_fails(suite: Suite) -> None:
    results = await suite.run_against_client(PROTOCOL_CASES)
    assert failures(results) == {}, summary(results)
    assert len(results) == CASES

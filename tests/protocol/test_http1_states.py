from itertools import product

import msgspec
import pytest

from protocol.errors import LocalProtocolError
from protocol.http1_states import (
    REQUEST,
    REQUEST_WHOLE,
    RESPONSE,
    RESPONSE_ASKED,
    RESPONSE_INTERIM,
    Phase,
    Step,
)

REQUEST_STEPS = [*msgspec.structs.astuple(REQUEST), REQUEST_WHOLE]
RESPONSE_STEPS = [*msgspec.structs.astuple(RESPONSE), RESPONSE_ASKED, RESPONSE_INTERIM]


@pytest.mark.parametrize("steps", [REQUEST_STEPS, RESPONSE_STEPS], ids=["request", "response"])
def test_every_pair_outside_the_table_is_an_error(steps: list[Step]) -> None:
    for phase, step in product(Phase, steps):
        if phase in step:
            assert step[phase] in Phase
        else:
            with pytest.raises(LocalProtocolError, match=f"{step.name} is impossible in phase {phase.name}"):
                step[phase]


def test_a_closed_or_raw_direction_stays_so() -> None:
    for step in (*REQUEST_STEPS, *RESPONSE_STEPS):
        for phase, target in step.items():
            assert phase is not Phase.RAW
            assert phase is not Phase.CLOSED or target is Phase.CLOSED


@pytest.mark.parametrize(
    ("steps", "start"),
    [(REQUEST_STEPS, Phase.HEAD), (RESPONSE_STEPS, Phase.IDLE)],
    ids=["request", "response"],
)
def test_every_phase_of_a_direction_can_be_reached(steps: list[Step], start: Phase) -> None:
    reached = {start}
    while more := {step[phase] for step in steps for phase in reached & step.keys()} - reached:
        reached |= more
    assert reached == {phase for step in steps for pair in step.items() for phase in pair}

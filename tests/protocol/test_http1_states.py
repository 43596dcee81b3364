from itertools import product

import pytest

from protocol.errors import LocalProtocolError
from protocol.http1_states import REQUEST, RESPONSE, Direction, Phase, Step


@pytest.mark.parametrize("table", [REQUEST, RESPONSE], ids=["request", "response"])
def test_every_pair_outside_the_table_is_an_error_and_changes_nothing(
    table: dict[tuple[Phase, Step], Phase],
) -> None:
    for phase, step in product(Phase, Step):
        direction = Direction(table, phase)
        if (phase, step) in table:
            direction.advance(step)
            assert direction.phase is table[phase, step]
        else:
            with pytest.raises(LocalProtocolError, match=step.name):
                direction.advance(step)
            assert direction.phase is phase


def test_a_closed_or_raw_direction_stays_so() -> None:
    for table in (REQUEST, RESPONSE):
        for (phase, _), target in table.items():
            assert phase is not Phase.RAW
            assert phase is not Phase.CLOSED or target is Phase.CLOSED


@pytest.mark.parametrize(("table", "start"), [(REQUEST, Phase.HEAD), (RESPONSE, Phase.IDLE)])
def test_every_phase_of_a_direction_can_be_reached(
    table: dict[tuple[Phase, Step], Phase], start: Phase
) -> None:
    reached = {start}
    while more := {target for (phase, _), target in table.items() if phase in reached} - reached:
        reached |= more
    assert reached == {phase for pair in table.items() for phase in (pair[0][0], pair[1])}

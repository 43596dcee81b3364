"""K15: a derived file is made again, or the start is refused; it is never believed over the segments."""

import random
import sys
from pathlib import Path

import pytest

from tests.crash.derived_files import run
from tests.crash.processes import Oracle

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def test_every_kind_of_derived_file_may_be_damaged_and_the_record_stands(
    tmp_path: Path, oracle: Oracle
) -> None:
    seed = random.randrange(1, 1 << 30)
    faults = run(tmp_path, oracle, seed, every_way=False)
    print(f"seed {seed}", file=sys.stderr)
    assert "\n".join(faults) == "", f"seed {seed}, artifacts in {tmp_path}"

"""What was measured, as it is written to a file: the schema of `kubetape bench --json` (benchmarks/README.md).

Fields are only ever added; `schema` is raised when one changes its meaning. Every figure is of one run but those of
`summary`, which are made from the others (`figures`), so that a reader can do it otherwise.
"""

import re
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.http_client import BenchmarkFailed

SCHEMA: Final = 1
GET: Final = "get 3 KB"
"""The step by which ways are compared."""
_NUMBERS: Final = re.compile(rb"\[[-\d.,\s]+\]")


class Run(msgspec.Struct):
    """One lane doing one thing often, in one run. cpu_ms: per unit of work, by process; client_cpu_ms: of the client."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    count: int
    cpu_ms: dict[str, float] = {}
    client_cpu_ms: float = 0.0


class Series(msgspec.Struct):
    """All runs of one step by one lane. quantiles_ms: 0 %, 1 %, ... 100 % of all samples together."""

    group: str
    step: str
    lane: str
    runs: list[Run] = []
    quantiles_ms: list[float] = []


class TransferRun(msgspec.Struct):
    """One transfer. mb_per_s_core: by the CPU of the way's own processes, those in the background apart."""

    mb_per_s: float
    mb_per_s_core: float | None = None
    cpu_s_per_gb: dict[str, float] = {}


class Transfer(msgspec.Struct):
    step: str
    lane: str
    mib: int
    runs: list[TransferRun] = []


class LoadRun(msgspec.Struct):
    """A closed loop for a while.

    cpu_ms: per call, by process of the way, what its background did afterwards included. cores: how many each
    process used meanwhile; "client" and "API server" are among them.
    """

    calls_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    cpu_ms: dict[str, float] = {}
    cores: dict[str, float] = {}


class Load(msgspec.Struct):
    """connections: of starts of an exec, how many run at once."""

    connections: int
    lane: str
    runs: list[LoadRun] = []
    step: str = GET


class Idle(msgspec.Struct):
    """Memory of idle streams. what: "watch" or "exec"; kib: per stream and run, by process."""

    what: str
    lane: str
    count: int
    kib: list[dict[str, float]] = []


class Conditions(msgspec.Struct):
    """What else the machine did during a run, in cores: other programs, and what a hypervisor took."""

    load_before: float
    other_cores: float
    stolen_cores: float
    seconds: float


class Summary(msgspec.Struct):
    """Medians over the runs of a Series. added: over the direct way in the same run, at the same percentile.

    spread_p50_ms: the lowest and the highest p50 of a run. ratio_to_proxy: added p50 over that of `kubectl proxy`;
    None where that is too small to divide by.
    """

    group: str
    step: str
    lane: str
    p50_ms: float
    p90_ms: float
    p99_ms: float
    spread_p50_ms: tuple[float, float]
    added_p50_ms: float
    added_p90_ms: float
    added_p99_ms: float
    ratio_to_proxy: float | None
    cpu_ms: dict[str, float]
    client_cpu_ms: float


class Result(msgspec.Struct, kw_only=True):
    schema: int = SCHEMA
    environment: dict[str, str] = {}
    plan: dict[str, object] = {}
    skipped: list[str] = []
    conditions: list[Conditions] = []
    series: list[Series] = []
    transfers: list[Transfer] = []
    loads: list[Load] = []
    idle: list[Idle] = []
    summary: list[Summary] = []
    micro: dict[str, object] = {}


def read_result(path: Path) -> Result:
    """Raises BenchmarkFailed for what is no result, or one of another schema."""
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Result)
    except (OSError, msgspec.DecodeError) as error:
        raise BenchmarkFailed(f"{path}: no result of a benchmark: {error}") from None
    if result.schema != SCHEMA:
        raise BenchmarkFailed(f"{path}: a result of schema {result.schema}; this version reads {SCHEMA}")
    return result


def write_result(path: Path, result: Result) -> None:
    rounded = _rounded(msgspec.to_builtins(result))
    text = msgspec.json.format(msgspec.json.encode(rounded), indent=1)
    path.write_bytes(_NUMBERS.sub(lambda found: b" ".join(found[0].split()), text) + b"\n")


def _rounded(value: object) -> object:
    """Microseconds are enough of a millisecond, and files are read by people."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value

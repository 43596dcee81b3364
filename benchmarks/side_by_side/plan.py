"""How much of what is measured: the whole takes about a quarter of an hour, the quick one about a minute."""

from typing import Final

import msgspec

GROUPS: Final = ("idle", "calls", "watch", "exec", "transfers", "kubectl", "load")
"""In this order: memory is measured before anything else has been done."""
DURABILITIES: Final = ("strict", "balanced", "relaxed")
WAYS: Final = ("direct", "kubectl proxy", "haproxy", "kubetape")


class Schedule(msgspec.Struct, frozen=True):
    """rounds: in which every way gets its turn. block: units of work a turn. warm_up: rounds not counted."""

    rounds: int
    block: int
    warm_up: int = 2


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one invocation does. runs: everything is started anew and measured so often.

    durabilities: of kubetape, for calls, watches, execs and kubectl; the rest is measured with `balanced`.
    load_s: of each load by each way, in so many turns (load_rounds). starts_at_once: of exec, under load.
    """

    runs: int = 5
    groups: tuple[str, ...] = GROUPS
    ways: tuple[str, ...] = WAYS
    durabilities: tuple[str, ...] = DURABILITIES
    gets: Schedule = Schedule(30, 10, 5)
    lists: Schedule = Schedule(5, 2, 1)
    writes: Schedule = Schedule(15, 5)
    changes: Schedule = Schedule(15, 5)
    starts: Schedule = Schedule(6, 4, 1)
    keys: Schedule = Schedule(15, 20)
    kubectls: Schedule = Schedule(6, 1, 1)
    mib: int = 256
    transfer_runs: int = 3
    connections: tuple[int, ...] = (1, 16, 64)
    load_s: float = 1.2
    load_rounds: int = 3
    starts_at_once: int = 4
    idle_watches: int = 100
    idle_execs: int = 100


def quick(plan: Plan) -> Plan:
    """The same in about a minute: one run, one durability, small samples. For a look, not for a claim."""
    return msgspec.structs.replace(
        plan,
        runs=1,
        durabilities=("balanced",),
        gets=Schedule(20, 10),
        lists=Schedule(2, 2, 1),
        writes=Schedule(8, 5, 1),
        changes=Schedule(8, 5, 1),
        starts=Schedule(3, 4, 1),
        keys=Schedule(8, 20, 1),
        kubectls=Schedule(3, 1, 1),
        mib=min(plan.mib, 64),
        connections=(1, 16),
        load_s=0.5,
        load_rounds=1,
        idle_watches=50,
        idle_execs=50,
    )


def tiny(plan: Plan) -> Plan:
    """Just enough to see that all of it works: for tests."""
    few = Schedule(2, 2, 1)
    return msgspec.structs.replace(
        quick(plan),
        gets=few,
        lists=Schedule(1, 1, 0),
        writes=few,
        changes=few,
        starts=Schedule(1, 1, 0),
        keys=few,
        kubectls=Schedule(1, 1, 0),
        mib=1,
        connections=(16,),
        load_s=0.2,
        idle_watches=4,
        idle_execs=4,
    )

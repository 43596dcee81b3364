"""What decides, made together: the policy in force, the shared state, revocations, budgets, and their counts.

Each stands alone; here they are tied. What the state tells goes to revocations at once, what it is told goes to the
log first, and a policy that changes is a record.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import trio

from gateway import journal
from gateway.budgets.budgets import Budgets
from gateway.config import BadConfig, Settings
from gateway.decision_counts import DecisionCounts
from gateway.live import Live
from gateway.policy.decide import Policy
from gateway.policy.problems import BadPolicy
from gateway.policy_in_force import PolicyInForce
from gateway.policy_packs import UnknownPack, read_packs
from gateway.policy_source import PolicySource, UnreadablePolicy
from gateway.recorder import Recorder
from gateway.revocations import Revocations
from gateway.state.entries import AnyEntry
from gateway.state.follower import SharedState
from gateway.state.opening import open_shared_state
from storage.records import PolicyLoaded, StateChanged


@dataclass(frozen=True)
class DecisionParts:
    """One set per worker. Not usable before `start` returned."""

    policy: PolicyInForce
    state: SharedState
    revocations: Revocations
    budgets: Budgets
    counts: DecisionCounts

    async def start(self, nursery: trio.Nursery) -> None:
        """Follow the state and the files from now on. Raises StateError: then nothing must be served."""
        await nursery.start(self.state.run)
        await nursery.start(self.revocations.run)
        await nursery.start(self.budgets.run)
        if self.policy.source is not None:
            nursery.start_soon(self.policy.source.watch)


async def load_policy(settings: Settings) -> PolicyInForce:
    """The policy of the configured directory and packs, or observe mode where none is. Raises BadConfig with all
    problems."""
    directory, packs = settings.policy.dir, settings.policy.packs
    if not directory and not packs:
        return PolicyInForce()
    try:
        source = PolicySource(Path(directory) if directory else None, packs=read_packs(packs))
        await source.load()
    except (BadPolicy, UnreadablePolicy, UnknownPack) as error:
        raise BadConfig(f"the policy cannot be used:\n{error}") from error
    return PolicyInForce(source)


def open_decision_parts(
    settings: Settings, data_dir: Path, gateway_id: str, policy: PolicyInForce, recorder: Recorder, live: Live
) -> DecisionParts:
    """Make what decides. Blocking, at start. Raises StateError, BadKeyFile, LogFailed."""

    def record(entry: AnyEntry, encoded: bytes, signature: bytes) -> None:
        changed = StateChanged(time.time_ns(), type(entry).__name__, encoded, signature)
        recorder.append(changed, urgent=True)

    def reloaded(now: Policy) -> None:
        journal.note("policy", f"policy {now.sha256[:12]} is in force")
        recorder.append(PolicyLoaded(time.time_ns(), now.sha256, policy.mode.value, now.files), urgent=True)

    state = open_shared_state(settings.state, data_dir, gateway_id, settings.cluster.name, record)
    revocations = Revocations(live, state)
    state.on_change.append(revocations.changed)
    budgets = Budgets(live, state)
    if policy.source is not None:
        policy.source.on_change = reloaded
    return DecisionParts(policy, state, revocations, budgets, DecisionCounts())

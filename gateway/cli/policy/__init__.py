"""`kubetape policy`: files of rules. One verb a file; shared by them: `opening`, `person`.

None of them needs a gateway or a cluster; `replay` reads a record.
"""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "check": Entry("gateway.cli.policy.check:check", "Check policy files: every mistake with its line."),
    "test": Entry("gateway.cli.policy.test:test", "Run the tests that stand in policy files."),
    "explain": Entry(
        "gateway.cli.policy.explain:explain_command", "Say what happens to one request, and why."
    ),
    "diff": Entry("gateway.cli.policy.diff:diff", "What changes between two policies."),
    "replay": Entry(
        "gateway.cli.policy.replay:replay_command", "Run a policy over recorded traffic: what flips?"
    ),
    "packs": Entry("gateway.cli.policy.packs:packs", "Policies that come with kubetape: ls, show."),
    "schema": Entry("gateway.cli.policy.schema:schema", "Print the JSON Schema of the policy file."),
}


@click.group("policy", cls=LazyGroup, table=VERBS)
def policy() -> None:
    """Policies: check files and run their tests.

    Example: kubetape policy check policies/
    """

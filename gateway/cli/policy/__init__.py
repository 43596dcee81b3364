"""`kubetape policy`: files of rules. One verb a file; shared by them: `opening`.

None of them needs a gateway or a cluster.
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
    "schema": Entry("gateway.cli.policy.schema:schema", "Print the JSON Schema of the policy file."),
}


@click.group("policy", cls=LazyGroup, table=VERBS)
def policy() -> None:
    """Policies: check files and run their tests.

    Example: kubetape policy check policies/
    """

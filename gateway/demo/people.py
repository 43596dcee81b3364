"""The two people of the demo: their tokens, and the kubeconfigs that carry them. Conduct: writes files."""

from pathlib import Path
from typing import Final, NamedTuple

from gateway.first_user import write_kubeconfig
from gateway.identity.tokens import append_token

TOKEN_FILE: Final = "people.csv"


class Person(NamedTuple):
    """groups: of policy. The name is also that of the folder with the kubeconfig."""

    name: str
    groups: tuple[str, ...]


AGENT: Final = Person("agent-7", ("agents",))
ONCALL: Final = Person("oncall", ("sre", "approvers"))  # the packs ask `approvers`
PEOPLE: Final = (AGENT, ONCALL)


def give_tokens(directory: Path) -> dict[Person, str]:
    """A token each, in `directory`/people.csv as hashes only. They end with the demo."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / TOKEN_FILE).unlink(missing_ok=True)
    return {person: append_token(directory / TOKEN_FILE, person.name, person.groups) for person in PEOPLE}


def write_kubeconfigs(
    directory: Path, tokens: dict[Person, str], *, port: int, console_port: int
) -> dict[Person, Path]:
    """`directory`/NAME/kubeconfig for each, for kubectl and for `kubetape approvals` alike."""
    found = {}
    for person, token in tokens.items():
        folder = directory / person.name
        folder.mkdir(exist_ok=True, mode=0o700)
        found[person] = write_kubeconfig(
            folder,
            token,
            server=f"https://127.0.0.1:{port}",
            ca_file=directory / "tls" / "ca.crt",
            console=f"https://127.0.0.1:{console_port}",
        )
    return found

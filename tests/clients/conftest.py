"""Fixtures of the client matrix: servers that last for a module, a rig for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients.programs import Kubectl
from tests.clients.rig import ClientRig
from tests.clients.targets import TARGETS, Target


@pytest.fixture(scope="module")
def open_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Target]]:
    """Open a target by name; each is opened once and lasts until the module's tests are over."""
    opened: dict[str, Target] = {}
    with ExitStack() as stack:

        def open_by_name(name: str) -> Target:
            if name not in opened:
                opened[name] = stack.enter_context(TARGETS[name](tmp_path_factory.mktemp(name) / "server"))
            return opened[name]

        yield open_by_name


@pytest.fixture
def make_rig(open_target: Callable[[str], Target], tmp_path: Path) -> Callable[..., ClientRig]:
    """Point a kubectl at a target."""

    def make(kubectl: Kubectl, target: str, environ: dict[str, str] | None = None) -> ClientRig:
        return ClientRig(kubectl, open_target(target).kubeconfig, tmp_path, environ or {})

    return make

"""Fixtures on the real cluster: one scene for a run, gateways that last for a module, a rig for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients.programs import Kubectl, find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster.gateways import Front, run_gateway
from tests.cluster.scene import Scene, open_scene
from tests.cluster.surroundings import why_not


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if reason := why_not():
        pytest.skip(reason)
    with open_scene(tmp_path_factory.mktemp("scene")) as opened:
        yield opened


@pytest.fixture(scope="module")
def open_front(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Front]]:
    """A gateway by identity mode; each is started once and joined with the audit log at the module's end."""
    opened: dict[str, Front] = {}
    with ExitStack() as stack:

        def open_by_mode(mode: str) -> Front:
            if mode not in opened:
                opened[mode] = stack.enter_context(
                    run_gateway(scene, tmp_path_factory.mktemp(mode) / "gateway", mode)
                )
            return opened[mode]

        yield open_by_mode


@pytest.fixture
def make_rig(open_front: Callable[[str], Front], tmp_path: Path) -> Callable[..., ClientRig]:
    """Point a kubectl at a gateway; without a kubectl, the newest."""

    def make(mode: str, kubectl: Kubectl | None = None, environ: dict[str, str] | None = None) -> ClientRig:
        return ClientRig(kubectl or find_kubectls()[-1], open_front(mode).member, tmp_path, environ or {})

    return make

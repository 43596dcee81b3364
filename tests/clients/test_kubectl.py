"""The matrix: kubectl x target x step. tests/clients/install fetches kubectls; without any, this skips."""

from collections.abc import Callable

import pytest

from tests.clients import steps
from tests.clients.programs import Kubectl, find_kubectls, in_full, in_short
from tests.clients.rig import ClientRig
from tests.clients.targets import MAIN_TARGETS, OLD_TARGETS

pytestmark = [
    pytest.mark.clients,
    pytest.mark.slow,
    pytest.mark.skipif(not find_kubectls(), reason="no kubectl here: run tests/clients/install"),
]

Make = Callable[..., ClientRig]


def _name(value: object) -> str:
    if isinstance(value, Kubectl):
        return value.name
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("step", steps.ALL, ids=_name)
@pytest.mark.parametrize("kubectl", in_full(), ids=_name)
@pytest.mark.parametrize("target", MAIN_TARGETS)
def test_kubectl_can(make_rig: Make, target: str, kubectl: Kubectl, step: steps.Step) -> None:
    step(make_rig(kubectl, target))


@pytest.mark.parametrize("step", steps.SHORT, ids=_name)
@pytest.mark.parametrize("kubectl", in_short(), ids=_name)
@pytest.mark.parametrize("target", MAIN_TARGETS)
def test_kubectl_in_between_can(make_rig: Make, target: str, kubectl: Kubectl, step: steps.Step) -> None:
    step(make_rig(kubectl, target))


@pytest.mark.parametrize("step", steps.STREAMS, ids=_name)
@pytest.mark.parametrize("target", MAIN_TARGETS)
def test_newest_kubectl_without_websockets_can(make_rig: Make, target: str, step: steps.Step) -> None:
    environ = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
    step(make_rig(find_kubectls()[-1], target, environ))


@pytest.mark.parametrize("step", [*steps.STREAMS, steps.get_and_list, steps.apply_client_side], ids=_name)
@pytest.mark.parametrize("target", OLD_TARGETS)
def test_newest_kubectl_falls_back_on_an_old_server(make_rig: Make, target: str, step: steps.Step) -> None:
    step(make_rig(find_kubectls()[-1], target))

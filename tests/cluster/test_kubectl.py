"""The matrix on a real cluster: kubectl x identity mode x step, through the gateway.

When the module is over, its record is joined with the cluster's audit log (see gateways.py).
"""

from collections.abc import Callable

import pytest

from tests.clients.programs import Kubectl, find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster import steps
from tests.cluster.gateways import MODES
from tests.cluster.surroundings import why_not

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

Make = Callable[..., ClientRig]
KUBECTLS = find_kubectls()
ENDS = tuple(dict.fromkeys(KUBECTLS[at] for at in (0, -1))) if KUBECTLS else ()


def _name(value: object) -> str:
    if isinstance(value, Kubectl):
        return value.name
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("step", steps.ALL, ids=_name)
@pytest.mark.parametrize("kubectl", ENDS, ids=_name)
@pytest.mark.parametrize("mode", MODES)
def test_kubectl_can(make_rig: Make, mode: str, kubectl: Kubectl, step: steps.Step) -> None:
    step(make_rig(mode, kubectl))


@pytest.mark.parametrize("step", steps.SHORT, ids=_name)
@pytest.mark.parametrize("kubectl", KUBECTLS[1:-1], ids=_name)
def test_kubectl_in_between_can(make_rig: Make, kubectl: Kubectl, step: steps.Step) -> None:
    step(make_rig("impersonate", kubectl))


@pytest.mark.parametrize("step", steps.STREAMS, ids=_name)
def test_newest_kubectl_without_websockets_can(make_rig: Make, step: steps.Step) -> None:
    environ = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
    step(make_rig("impersonate", environ=environ))

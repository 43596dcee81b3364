"""What the gateway costs a person at a terminal: kubectl with and without it, in turns. The figure is printed.

The bound is loose, for machines differ; it catches a wait that should not be there.
"""

import statistics
import time
from collections.abc import Callable

import msgspec
import pytest

from tests.clients.rig import ClientRig
from tests.cluster.scene import Scene
from tests.cluster.surroundings import why_not

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

RUNS = 20
MOST_RATIO = 2.0
COMMANDS = {"get": ("get", "pods"), "exec": ("exec", "web", "--", "true")}


@pytest.mark.parametrize("what", COMMANDS)
def test_kubectl_takes_hardly_longer(
    scene: Scene,
    make_rig: Callable[..., ClientRig],
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    through = make_rig("impersonate")
    direct = msgspec.structs.replace(through, kubeconfig=scene.admin.kubeconfig)
    taken: dict[str, list[float]] = {"direct": [], "gateway": []}
    for run in range(RUNS + 1):
        for name, rig in (("direct", direct), ("gateway", through)):
            begun = time.perf_counter()
            rig.run(*COMMANDS[what])
            if run:  # the first fills kubectl's discovery cache
                taken[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(times) * 1000 for name, times in taken.items()}
    ratio = medians["gateway"] / medians["direct"]
    with capsys.disabled():
        print(f"\nkubectl {what}: {medians['direct']:.0f} ms, {medians['gateway']:.0f} ms; ratio {ratio:.2f}")
    assert ratio < MOST_RATIO

"""What the cluster forbids reads through the gateway, word for word, as without it; what we forbid says why.

Without a gateway the admin acts as the reader's twin (`--as`); with one, the reader's token makes us do that.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.programs import Kubectl, find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster.gateways import MODES, Front
from tests.cluster.scene import GROUP, Scene
from tests.cluster.surroundings import why_not

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

ENDS = tuple(dict.fromkeys(find_kubectls()[at] for at in (0, -1))) if find_kubectls() else ()

FORBIDDEN: dict[str, tuple[str, ...]] = {
    "list": ("get", "pods", "-n", "kube-system"),
    "get": ("get", "secret", "no-matter"),
    "watch": ("get", "secrets", "-w"),
    "list-of-cluster": ("get", "nodes"),
    "create": ("create", "configmap", "x", "--from-literal=a=b"),
    "delete": ("delete", "pod", "web"),
    "patch": ("label", "pod", "web", "a=b"),
    "exec": ("exec", "web", "--", "true"),
    "exec-in-terminal": ("exec", "-i", "web", "--", "sh"),
    "attach": ("attach", "web"),
    "port-forward": ("port-forward", "pod/web", ":80"),
    "logs": ("logs", "-n", "kube-system", "any"),
    "can-i": ("auth", "can-i", "delete", "pods"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("kubectl", ENDS, ids=lambda kubectl: kubectl.name)
def test_a_denial_of_the_cluster_reads_as_without_a_gateway(
    scene: Scene, open_front: Callable[[str], Front], tmp_path: Path, kubectl: Kubectl, what: str
) -> None:
    direct = ClientRig(kubectl, scene.admin.kubeconfig, tmp_path)
    through = open_front("impersonate").rig(direct, "reader")
    expected = direct.run(f"--as={scene.twin}", f"--as-group={GROUP}", *FORBIDDEN[what], code=None)
    found = through.run(*FORBIDDEN[what], code=None)
    assert expected.code != 0, "this is not forbidden"
    assert found.code == expected.code
    assert found.stdout == expected.stdout
    assert _without_tags(found.stderr) == _without_tags(expected.stderr.replace(scene.twin, scene.reader))


def test_who_a_person_is_counts_not_what_the_gateway_may(
    open_front: Callable[[str], Front], make_rig: Callable[..., ClientRig]
) -> None:
    for mode in MODES:
        reader = open_front(mode).rig(make_rig(mode), "reader")
        forbidden = reader.run("get", "nodes", code=None).code != 0
        assert forbidden == (mode == "impersonate")


@pytest.mark.parametrize("kubectl", ENDS, ids=lambda kubectl: kubectl.name)
@pytest.mark.parametrize("mode", MODES)
def test_impersonation_by_the_client_is_refused_by_the_gateway(
    make_rig: Callable[..., ClientRig], mode: str, kubectl: Kubectl
) -> None:
    rig = make_rig(mode, kubectl)
    rig.run(
        "get", "pods"
    )  # of a refusal of discovery, newer kubectls show the code only; so fill their cache
    for options in (["--as=system:admin"], ["--as=me", "--as-group=system:masters"]):
        refused = rig.run("get", "pods", *options, code=1)
        assert "impersonation headers are not accepted" in refused.stderr
        assert "drop --as and --as-group" in refused.stderr


def _without_tags(stderr: str) -> str:
    """klog's time, process and line before a message are not the same twice."""
    return re.sub(r"^[EIW]\d{4} [^\]]*\] ", "", stderr, flags=re.MULTILINE)

"""Weak builds for what policies shipped with kubetape bar (D2, D3, S9, S11): the pack without one of its rules."""

from typing import Final

from gateway import judgement
from tests.bypass.editing import edit
from tests.bypass.packs import without
from tests.bypass.test_d3_no_escape import (
    debug_under_no_escape,
    give_oneself_rights,
    go_through_the_kubelet,
    mint_a_credential,
    open_a_shell_on_a_node,
    take_over_a_node,
)
from tests.bypass.weakening import Weakening

WEAKENINGS: Final = (
    Weakening(
        "S11", "the pack does not know nodes/proxy", go_through_the_kubelet, "the kubelet was reached",
        without("node-proxy"),
    ),
    Weakening(
        "D2", "the pack does not know the old form of proxy", go_through_the_kubelet, "the kubelet was reached",
        without("old-proxy"),
    ),
    Weakening(
        "D2", "the pack does not know the ports of the kubelet", go_through_the_kubelet, "the kubelet was reached",
        without("kubelet-ports", "proxies"),
    ),
    *(
        Weakening("D3", f"the pack lacks {rule}", mint_a_credential, "a credential was to be had", without(rule))
        for rule in ("token-request", "certificates", "token-secrets", "bootstrap-tokens", "role-powers", "role-doors")
    ),
    *(
        Weakening("D3", f"the pack lacks {rule}", give_oneself_rights, "rights were changed by one alone", without(rule))
        for rule in ("rbac", "aws-auth", "admission", "api-services", "crd-conversion")
    ),
    *(
        Weakening("D3", f"the pack lacks {rule}", take_over_a_node, "a node could be taken over", without(rule))
        for rule in ("host-pods", "host-volumes")
    ),
    Weakening(
        "S09", "the pack does not know debugging containers (Teleport PR#40792)", debug_under_no_escape,
        "a container was put into a pod by one alone", without("debug-containers"),
    ),
    Weakening(
        "D3", "the pack does not look at the pod of a shell", open_a_shell_on_a_node, "a shell was opened",
        without("host-shells"),
    ),
    Weakening(
        "D3", "the pod of a shell is looked at over WebSocket only", open_a_shell_on_a_node, "a shell was opened",
        edit(judgement._may_have_old_object, '("list", "watch", "proxy")', '("create", "list", "watch", "proxy")'),
    ),
    Weakening(
        "D3", "the pack does not know what runs the cluster", open_a_shell_on_a_node, "a shell was opened",
        without("system-shells", "host-shells"),
    ),
)  # fmt: skip

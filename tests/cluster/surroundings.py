"""What the environment names: a real cluster for these tests, or why they skip.

KUBETAPE_TEST_KUBECONFIG: cluster-admin; everything is made in namespaces of our own and deleted again.
KUBETAPE_TEST_GATEWAY_KUBECONFIG: the credential of the impersonating gateway; without it, a service account.
KUBETAPE_TEST_AUDIT_LOG: the API server's audit log (JSON lines, at least Metadata); without it nothing is joined.
KUBETAPE_TEST_IMAGE: a busybox the node has or can pull.
"""

import os
from pathlib import Path

from tests.clients.programs import find_kubectls

IMAGE = os.environ.get("KUBETAPE_TEST_IMAGE", "busybox")


def why_not() -> str:
    """The one reason to skip, "" if there is none."""
    if not os.environ.get("KUBETAPE_TEST_KUBECONFIG"):
        return "no cluster: KUBETAPE_TEST_KUBECONFIG names no admin kubeconfig (see tests/cluster/README.md)"
    return "" if find_kubectls() else "no kubectl here: run tests/clients/install"


def admin_kubeconfig() -> Path:
    return Path(os.environ["KUBETAPE_TEST_KUBECONFIG"]).expanduser()


def gateway_kubeconfig() -> Path | None:
    return _path("KUBETAPE_TEST_GATEWAY_KUBECONFIG")


def audit_log() -> Path | None:
    return _path("KUBETAPE_TEST_AUDIT_LOG")


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else None

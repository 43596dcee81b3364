"""What the agent of the demo does: a plausible minute of an on-call robot, as kubectl commands.

Each step also says how to do the same without kubectl, so that the demo runs on a machine that has none.
"""

from dataclasses import dataclass
from typing import Final

FIX_MANIFEST: Final = b"""{"apiVersion":"v1","kind":"ConfigMap",
"metadata":{"name":"api-tuning","namespace":"payments","labels":{"owner":"oncall-robot"}},
"data":{"POOL_SIZE":"32","TIMEOUT":"5s"}}
"""


@dataclass(frozen=True)
class Step:
    """One command of the agent.

    words: after `kubectl`. say: why it does that. stdin: given to it. terminal: typed into a -it session,
    line by line. http: (method, target, body) for the same without kubectl; exec and logs are told by words.
    """

    say: str
    words: tuple[str, ...]
    stdin: bytes = b""
    terminal: tuple[str, ...] = ()
    http: tuple[str, str, bytes] | None = None
    pause_s: float = 2.0


STEPS: Final = (
    Step(
        "an alert: payments is slow. What runs there?",
        ("get", "pods", "-n", "payments"),
        http=("GET", "/api/v1/namespaces/payments/pods?limit=500", b""),
    ),
    Step(
        "is it the configuration?",
        ("get", "configmap", "api-config", "-n", "payments", "-o", "yaml"),
        http=("GET", "/api/v1/namespaces/payments/configmaps/api-config", b""),
    ),
    Step(
        "what does it log?",
        ("logs", "api", "-n", "payments", "--tail=5"),
        http=("GET", "/api/v1/namespaces/payments/pods/api/log?tailLines=5", b""),
    ),
    Step(
        "a look inside, in one command",
        ("exec", "-n", "payments", "api", "--", "sh", "-c", "hostname; ls /; cat /etc/os-release"),
    ),
    Step(
        "a terminal, to try things",
        ("exec", "-it", "-n", "payments", "api", "--", "sh"),
        terminal=("ls /data", "cat /data/customers.csv", "env", "exit"),
        pause_s=3.0,
    ),
    Step(
        "it reads a Secret it has no business with",
        ("get", "secret", "database", "-n", "payments", "-o", "jsonpath={.data.password}"),
        http=("GET", "/api/v1/namespaces/payments/secrets/database", b""),
    ),
    Step(
        "a fix: larger pool, shorter timeout",
        ("apply", "-f", "-"),
        stdin=FIX_MANIFEST,
        http=("POST", "/api/v1/namespaces/payments/configmaps?fieldManager=oncall-robot", FIX_MANIFEST),
    ),
    Step(
        "restart the pod",
        ("delete", "pod", "worker", "-n", "payments", "--wait=false"),
        http=("DELETE", "/api/v1/namespaces/payments/pods/worker", b'{"propagationPolicy":"Background"}'),
    ),
    Step(
        "and a mistake: a pod that is not there",
        ("get", "pod", "worker-2", "-n", "payments"),
        http=("GET", "/api/v1/namespaces/payments/pods/worker-2", b""),
    ),
    Step(
        "may it delete namespaces? (the stand-in says yes to everything)",
        ("auth", "can-i", "delete", "namespaces"),
        http=(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            b'{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",'
            b'"spec":{"resourceAttributes":{"verb":"delete","resource":"namespaces"}}}',
        ),
    ),
)

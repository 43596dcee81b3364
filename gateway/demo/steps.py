"""What the two people of the demo do, as kubectl commands: a robot on call, and the person it answers to.

Each step also says how to do the same without kubectl, so that the demo runs on a machine that has none.
"""

import shlex
from dataclasses import dataclass
from typing import Final

POD: Final = "api"
NAMESPACE: Final = "payments"
_BACKGROUND: Final = b'{"propagationPolicy":"Background"}'


@dataclass(frozen=True)
class Step:
    """One command.

    say: why it is given. words: after `kubectl`. terminal: typed into a -it session, line by line. http: (method,
    target, body) for the same without kubectl; an exec on POD is told by its words.
    """

    say: str
    words: tuple[str, ...]
    terminal: tuple[str, ...] = ()
    http: tuple[str, str, bytes] | None = None
    pause_s: float = 1.5

    @property
    def command(self) -> str:
        """As one types it."""
        return f"kubectl {shlex.join(self.words)}"


# --- agent-7 --------------------------------------------------------------------------------------------

LIST_PODS: Final = Step(
    "an alert: payments is slow. What runs there?",
    ("get", "pods", "-n", NAMESPACE),
    http=("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?limit=500", b""),
)
READ_SECRET: Final = Step(
    "it reads a Secret: the values are hidden before they reach it",
    ("get", "secret", "database", "-n", NAMESPACE, "-o", "go-template={{.data.password | base64decode}}"),
    http=("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/database", b""),
)
READ_CUSTOMERS: Final = Step(
    "and a file with card numbers, inside the pod",
    ("exec", "-n", NAMESPACE, POD, "--", "cat", "/data/customers.csv"),
)
WIPE: Final = Step(
    "and then this",
    ("exec", "-n", NAMESPACE, POD, "--", "rm", "-rf", "/data"),
)
DELETE_IN_PROD: Final = Step(
    "it wants to restart a pod, and takes the wrong one",
    ("delete", "pod", "shop", "-n", "prod", "--wait=false"),
    http=("DELETE", "/api/v1/namespaces/prod/pods/shop", _BACKGROUND),
)
DELETE_WORKER: Final = Step(
    "it reads the note, and takes the right one",
    ("delete", "pod", "worker", "-n", NAMESPACE, "--wait=false"),
    http=("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/worker", _BACKGROUND),
)
FOLLOW_LOG: Final = Step(
    "it follows a log",
    ("logs", "-f", POD, "-n", NAMESPACE, "--tail=2"),
    http=("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}/log?follow=true&tailLines=2", b""),
)
WATCH_PODS: Final = Step(
    "and, in another terminal, watches the pods",
    ("get", "pods", "-n", NAMESPACE, "--watch"),
    http=("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?watch=true", b""),
)

# --- oncall ---------------------------------------------------------------------------------------------

TERMINAL: Final = Step(
    "a person looks for herself; what she types is judged before its newline reaches the shell",
    ("exec", "-it", "-n", NAMESPACE, POD, "--", "sh"),
    terminal=("cat /data/customers.csv", "rm -rf /data", "exit"),
)

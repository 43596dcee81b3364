"""What a decision costs at 200 rules: known and new kinds of callers, with and without CEL. Microseconds of one core.

Run: python -m benchmarks.decisions [--rules 200] [--packs] [--json FILE]. The policy: ten teams, each with the rules a team has
(read and write in its namespaces, exec with an argv list, masks, holds, denials), one rule in ten with a condition.
"""

import argparse
import json
import time
from collections.abc import Sequence

from benchmarks.report import environment, summary, write_json
from gateway.policy.decide import Policy
from gateway.policy.load import load_policy
from gateway.policy.model import Facts
from gateway.policy_packs import pack_names, read_packs
from gateway.principal import Principal
from protocol.apicall import parse_call

RULES_OF_A_TEAM = """
- {{name: read-{t}-{n}, match: {{groups: [{t}, sre], verbs: [get, list, watch], resources: [pods, services, "deployments.apps", configmaps, pods/log], namespaces: ["{t}-*"]}}, action: allow}}
- {{name: write-{t}-{n}, match: {{groups: [{t}], verbs: [create, update, patch], resources: ["deployments.apps", services, configmaps], namespaces: ["{t}-*", "!*-prod"]}}, action: allow}}
- {{name: delete-{t}-{n}, match: {{groups: [{t}], verbs: [delete], resources: [pods, jobs.batch], namespaces: ["{t}-dev", "{t}-test"]}}, action: allow}}
- {{name: exec-{t}-{n}, match: {{groups: [{t}], resources: [pods/exec], namespaces: ["{t}-dev"], argv: [[ls, ...], [cat, "/var/log/*"], [sh]]}}, action: allow}}
- {{name: hold-{t}-{n}, match: {{groups: [{t}], verbs: [delete, deletecollection, patch], namespaces: ["{t}-prod"]}}, action: {{hold: {{approvers: {{groups: [sre]}}}}}}}}
- {{name: mask-{t}-{n}, match: {{groups: [{t}, "!admins"], resources: [secrets, configmaps], namespaces: ["{t}-*"]}}, action: {{mask: {{paths: ["data.*"], detectors: [jwt, card]}}}}}}
- {{name: secrets-{t}-{n}, match: {{groups: ["{t}"], users: ["!*@admin"], resources: [secrets], verbs: [get, list, watch]}}, action: {{deny: "secrets are read by the platform team"}}}}
- {{name: ports-{t}-{n}, match: {{groups: [{t}], resources: [pods/portforward], namespaces: ["{t}-*"], ports: [8080, 9090]}}, action: allow}}
- {{name: agents-{t}-{n}, match: {{groups: [agents], users: ["agent-{t}-*"], verbs: [get, list], namespaces: ["{t}-*"]}}, action: allow}}
- {{name: big-{t}-{n}, match: {{verbs: [update, create], resources: ["deployments.apps"], namespaces: ["{t}-*"]}}, when: "principal.groups.exists(g, g == '{t}') && object.spec.replicas > 50", action: {{deny: "more than 50 replicas"}}}}
"""
HEAD = "apiVersion: kubetape/v1\nkind: Policy\nmetadata: {name: bench}\nrules:"
TEAMS = [f"team{number}" for number in range(10)]
OBJECT: dict[str, object] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "team3-dev", "labels": {"app": "web"}},
    "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
}
CALLS = {
    "get, allowed": ("GET", "/api/v1/namespaces/{t}-dev/pods/web-0"),
    "list, allowed": ("GET", "/api/v1/namespaces/{t}-dev/pods?limit=500"),
    "secret, denied by a rule": ("GET", "/api/v1/namespaces/{t}-dev/secrets/db"),
    "foreign namespace, denied by none": ("GET", "/api/v1/namespaces/other/pods/web-0"),
    "delete in prod, held": ("DELETE", "/api/v1/namespaces/{t}-prod/pods/web-0"),
    "exec, argv list": ("GET", "/api/v1/namespaces/{t}-dev/pods/web-0/exec?command=ls&command=-l&stdout=1"),
    "update, two conditions in CEL": ("PUT", "/apis/apps/v1/namespaces/{t}-dev/deployments/web"),
}


def policy_of(rules: int, *, with_packs: bool = False) -> Policy:
    parts = [RULES_OF_A_TEAM.format(t=TEAMS[number % 10], n=number // 10) for number in range(rules // 10)]
    packs = read_packs(pack_names()) if with_packs else {}
    return load_policy({"bench.yaml": (HEAD + "".join(parts)).encode(), **packs})


def facts_of(method: str, target: str, team: str, user: str) -> Facts:
    principal = Principal(
        user, (team, "employees", "vpn"), "oidc", "0" * 32, issuer="https://idp.example.com"
    )
    call = parse_call(method.encode(), target.format(t=team).encode())
    return Facts(principal, call, "10.0.0.1", at_ns=10**18, object=OBJECT if method == "PUT" else None)


def measure(policy: Policy, facts: Sequence[Facts]) -> dict[str, float]:
    """Each decision on its own."""
    samples = []
    for one in facts:
        started = time.perf_counter_ns()
        policy.decide(one)
        samples.append((time.perf_counter_ns() - started) / 1000)
    return {name: round(value, 2) for name, value in summary(samples).items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rules", type=int, default=200)
    parser.add_argument("--packs", action="store_true", help="with all shipped packs beside the rules")
    parser.add_argument("--json")
    options = parser.parse_args()
    policy = policy_of(options.rules, with_packs=options.packs)
    figures: dict[str, dict[str, float]] = {}
    mixed: list[Facts] = []
    for name, (method, target) in CALLS.items():
        facts = [facts_of(method, target, TEAMS[n % 10], f"user-{n % 40}") for n in range(4000)]
        measure(policy, facts[:40])  # every kind of caller is known then
        figures[name] = measure(policy, facts)
        mixed += facts
    figures["all of these in turn"] = measure(
        policy, [mixed[n * 4001 % len(mixed)] for n in range(len(mixed))]
    )
    same = facts_of("GET", CALLS["get, allowed"][1], TEAMS[3], "user-3")
    figures["get, allowed before"] = measure(policy, [same] * 4000)
    new = [facts_of("GET", CALLS["get, allowed"][1], TEAMS[n % 10], f"new-{n}") for n in range(2000)]
    figures["a caller never seen before"] = measure(policy, new)
    print(json.dumps({"environment": environment(), "rules": len(policy.rules), "us": figures}, indent=2))
    write_json(options.json, {"rules": len(policy.rules), "us": figures})


if __name__ == "__main__":
    main()

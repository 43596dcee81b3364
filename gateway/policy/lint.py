"""Which ways out of the recorded path a policy opens without a word: allowed to somebody, and nothing denies or holds
it for everybody.

A list of single calls, each of which would let a client go on without the gateway (a token, a certificate, a role, a
way into a node). It finds what was forgotten; it does not prove that there is no other way.
The trap: an `allow` is looked at without its users, namespaces and names, since it opens the way to somebody; a `deny`
or `hold` counts only if it is about a stranger, too.
"""

from typing import Final

import msgspec

from gateway.policy.decide import Policy
from gateway.policy.model import Facts, JsonObject
from gateway.policy.rule import Kind, Rule
from gateway.principal import Principal
from protocol.apicall import parse_call

DEFAULT_ALLOW: Final = "default: allow"

_STRANGER: Final = Principal("(a stranger)", (), "token", "0" * 32)
_OF_WHO_OR_WHERE: Final = frozenset(
    ("claims", "sources", "time", "namespaces", "names", "labels", "tty", "stdin", "ports")
)
"""Fields that narrow an allow to somebody, somewhere, sometimes: the way is open all the same."""

_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_POD: Final = "/api/v1/namespaces/default/pods"


class Way(msgspec.Struct, frozen=True):
    """One way out. what: in words; the call: method, path, body, and the object it is about."""

    what: str
    method: str
    path: str
    object: JsonObject | None = None
    old_object: JsonObject | None = None


WAYS: Final = (
    Way("the kubelet, through nodes/proxy", "GET", "/api/v1/nodes/n/proxy/exec/default/p/c"),
    Way("anything that listens, through pods/proxy", "GET", f"{_POD}/p:8080/proxy/"),
    Way("anything that listens, through services/proxy", "GET", "/api/v1/namespaces/default/services/s/proxy/"),
    Way("tokens of service accounts", "POST", "/api/v1/namespaces/default/serviceaccounts/s/token", {}),
    Way("certificate requests", "POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", {}),
    Way("certificate approval", "PUT", "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval", {}),
    Way("secrets that become tokens", "POST", "/api/v1/namespaces/default/secrets", {"type": "kubernetes.io/service-account-token"}),
    Way("aws-auth", "PATCH", "/api/v1/namespaces/kube-system/configmaps/aws-auth", {}),
    Way("roles that escalate", "POST", f"{_RBAC}/clusterroles", {"rules": [{"verbs": ["escalate", "bind", "impersonate"]}]}),
    Way("role bindings", "POST", f"{_RBAC}/clusterrolebindings", {"roleRef": {"name": "cluster-admin"}}),
    Way("admission webhooks", "POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", {}),
    Way("APIServices", "POST", "/apis/apiregistration.k8s.io/v1/apiservices", {}),
    Way("conversion webhooks", "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {"spec": {"conversion": {"strategy": "Webhook"}}}),
    Way("debugging containers", "PATCH", f"{_POD}/p/ephemeralcontainers", {"spec": {"ephemeralContainers": []}}),
    Way("privileged pods", "POST", _POD, {"spec": {"containers": [{"securityContext": {"privileged": True}}]}}),
    Way("pods with directories of their node", "POST", _POD, {"spec": {"volumes": [{"hostPath": {"path": "/"}}]}}),
    Way("pods in the namespaces of their node", "POST", _POD, {"spec": {"hostPID": True, "hostNetwork": True}}),
    Way("the same in a Deployment", "POST", "/apis/apps/v1/namespaces/default/deployments", {"spec": {"template": {"spec": {"hostPID": True}}}}),
    Way("shells in kube-system", "GET", "/api/v1/namespaces/kube-system/pods/p/exec?command=sh", None, {"spec": {}}),
)  # fmt: skip


class Opening(msgspec.Struct, frozen=True):
    """A way that is open. rules: those that allow it, or DEFAULT_ALLOW."""

    what: str
    rules: tuple[str, ...]


def find_openings(policy: Policy) -> tuple[Opening, ...]:
    """In the order of `WAYS`; nothing for what is denied or held for everybody, or allowed to nobody."""
    found = []
    for way in WAYS:
        facts = _facts(way)
        rules = [rule for rule in policy.rules if rule.verb(facts) and rule.resource(facts)]
        if any(_bars(rule, facts) for rule in rules):
            continue
        allowing = [rule.id for rule in rules if _may_be_about(rule, facts)]
        if policy.default_allows:
            allowing.append(DEFAULT_ALLOW)
        if allowing:
            found.append(Opening(way.what, tuple(allowing)))
    return tuple(found)


def _facts(way: Way) -> Facts:
    call = parse_call(way.method.encode(), way.path.encode())
    return Facts(_STRANGER, call, "192.0.2.1", object=way.object, old_object=way.old_object)


def _bars(rule: Rule, facts: Facts) -> bool:
    """Whether it denies or holds such a call, whoever makes it."""
    if rule.kind not in (Kind.DENY, Kind.HOLD) or rule.is_shadow or rule.bundle:
        return False
    return rule.who(facts) and rule.matches(facts) is not False


def _may_be_about(rule: Rule, facts: Facts) -> bool:
    """Whether it allows such a call to somebody who has not asked for a grant."""
    if rule.kind is not Kind.ALLOW or rule.bundle:
        return False
    if rule.condition is not None and rule.condition.evaluate(facts) is False:
        return False
    tests = zip(rule.fields, (*rule.tests, *rule.object_tests), strict=True)
    return all(field in _OF_WHO_OR_WHERE or test(facts) is not False for field, test in tests)

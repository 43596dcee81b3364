"""Which objects a rule has to see."""

from gateway.policy.model import Needs
from tests.kit.policies import facts, rules

POD = "GET /api/v1/namespaces/dev/pods/web"
EXEC = "GET /api/v1/namespaces/dev/pods/web/exec?command=ls"


def test_objects_are_needed_only_by_rules_that_can_be_about_the_call() -> None:
    label = "{name: l, match: {labels: {team: [a]}, namespaces: [dev]}, action: allow}"
    name = "{name: n, match: {names: [web]}, action: allow}"
    both = "{name: b, match: {verbs: [update]}, when: 'oldObject.spec == object.spec', action: allow}"
    create = "POST /api/v1/namespaces/dev/pods"
    assert rules(label, name).needs(facts(POD)) == Needs(old_object=True)
    assert rules(label).needs(facts("GET /api/v1/namespaces/prod/pods/web")) == Needs()
    assert rules(label).needs(facts("GET /api/v1/namespaces/dev/pods")) == Needs()
    assert rules(name).needs(facts(create)) == Needs(object=True)
    assert rules(name).needs(facts("PUT /api/v1/namespaces/dev/pods/web")) == Needs()
    assert rules(both).needs(facts("PUT /api/v1/namespaces/dev/pods/web")) == Needs(True, True)
    options = "{name: o, when: 'has(request.options.orphan)', action: deny}"
    assert rules(options).needs(facts("DELETE /api/v1/namespaces/dev/pods/web")) == Needs(object=True)
    assert rules(options).needs(facts("GET /api/v1/namespaces/dev/pods/web")) == Needs()
    assert rules("{name: a, action: allow}").needs(facts(create)) == Needs()
    assert rules("{name: a, when: 'call.tty', action: allow}").needs(facts(EXEC)) == Needs()

"""What would be allowed instead, in words: for the person who was denied. Bounded; says only what is theirs."""

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.policy.globs import Globs
from gateway.policy.model import Facts, GrantTerms
from gateway.policy.rule import Kind, Rule
from gateway.policy.syntax import Match
from gateway.principal import Principal

MAX_HINT_CHARACTERS: Final = 300
_MAX_PHRASES: Final = 3
_MAX_WORDS: Final = 5


def phrase(match: Match, *, is_conditional: bool) -> str:
    """What an allow rule allows: "get, list pods in namespaces dev-*"."""
    verbs = _words(match.verbs) if match.verbs is not None else "do anything to"
    if match.paths is not None:
        what = f"paths {_words(match.paths)}"
    elif match.resources is not None:
        what = _words(match.resources)
    else:
        what = "everything" if match.api_groups is None else f"API groups {_words(match.api_groups)}"
    text = f"{verbs} {what}"
    if match.names is not None:
        text += f" named {_words(match.names)}"
    if match.namespaces is not None:
        text += f" in namespaces {_words(match.namespaces)}"
    fields = (match.claims, match.labels, match.argv, match.ports, match.time, match.sources, match.tty)
    is_conditional = is_conditional or any(field is not None for field in fields)
    return f"{text} (under conditions)" if is_conditional else text


def what_is_allowed(rules: Iterable[Rule], facts: Facts) -> str:
    """The allow rules of this person: those about the same resource, else a few of the others."""
    about: list[str] = []
    others: list[str] = []
    for rule in rules:
        if rule.kind is Kind.ALLOW and not rule.bundle and rule.who(facts):
            (about if rule.resource(facts) else others).append(rule.phrase)
    phrases = list(dict.fromkeys(about or others))
    if not phrases:
        return ""
    more = "; and more" if len(phrases) > _MAX_PHRASES else ""
    return _cut(f"you may {'; '.join(phrases[:_MAX_PHRASES])}{more}")


def with_grants(hint: str, rules: Iterable[Rule], grants: Sequence[GrantTerms], facts: Facts) -> str:
    """The hint, and the grants this person may ask for that would allow the call. rules: those of the index."""
    allowing = {
        rule.bundle for rule in rules if rule.bundle and rule.kind is Kind.ALLOW and rule.matches(facts)
    }
    names = [
        terms.bundle for terms in grants if terms.bundle in allowing and may_request(terms, facts.principal)
    ]
    if not names:
        return hint
    ask = f"you may ask for the grant {' or '.join(names[:_MAX_PHRASES])}"
    return _cut(f"{ask}; {hint}" if hint else ask)


def may_request(terms: GrantTerms, principal: Principal) -> bool:
    """Whether this person is among those who may ask for a bundle."""
    if not terms.requester_users and not terms.requester_groups:
        return True
    is_user = bool(terms.requester_users) and Globs(terms.requester_users).match(principal.user)
    groups = Globs(terms.requester_groups)
    return is_user or (bool(terms.requester_groups) and groups.match_any(principal.groups))


def _words(words: Sequence[str]) -> str:
    shown = ", ".join(f"not {word[1:]}" if word.startswith("!") else word for word in words[:_MAX_WORDS])
    return f"{shown}, ..." if len(words) > _MAX_WORDS else shown


def _cut(text: str) -> str:
    return text if len(text) <= MAX_HINT_CHARACTERS else text[: MAX_HINT_CHARACTERS - 3] + "..."

"""Which rule a typed line breaks: patterns searched in it, strongest first.

Best effort: the line is what a person typed, not what a shell makes of it. Quotes, backslashes and $IFS in the middle of
words are looked through; variables, encodings, scripts and aliases are not. What must hold is an argv rule
(`argv`), not this. Patterns run in RE2; Python's `re` never sees one of a policy.
"""

from typing import Final

import re2

from gateway.policy.model import CommandRule

MAX_PATTERN_BYTES: Final = 1024

_STRENGTH: Final = ("deny", "hold", "alert")
_QUOTES: Final = str.maketrans("", "", "\"'\\")


class CommandJudge:
    """The command rules of one verdict. Raises ValueError with one line if a pattern cannot be used."""

    def __init__(self, rules: tuple[CommandRule, ...]) -> None:
        compiled = [(rule, compile_pattern(rule)) for rule in rules]
        self._rules = sorted(compiled, key=lambda pair: _STRENGTH.index(pair[0].action))

    def judge(self, line: str) -> CommandRule | None:
        """The strongest rule that the line breaks: deny before hold before alert."""
        texts = {line.encode(), _plain(line).encode()}
        return next(
            (
                rule
                for rule, pattern in self._rules
                if any(pattern.search(text) is not None for text in texts)
            ),
            None,
        )


def compile_pattern(rule: CommandRule) -> re2._Regexp:
    """For the loader as well. Raises ValueError."""
    pattern = rule.pattern.encode()
    if rule.action not in _STRENGTH:
        raise ValueError(f"rule {rule.rule}: a command rule can alert, hold or deny, not {rule.action!r}")
    if len(pattern) > MAX_PATTERN_BYTES:
        raise ValueError(f"rule {rule.rule}: pattern is longer than {MAX_PATTERN_BYTES} bytes: split it")
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0]
        reason = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise ValueError(f"rule {rule.rule}: pattern is not RE2: {reason}") from None
    if compiled.search(b"") is not None:
        raise ValueError(f"rule {rule.rule}: pattern matches the empty line: every line would break the rule")
    return compiled


def _plain(line: str) -> str:
    """The line as a shell reads its words, as far as that is cheap."""
    return " ".join(line.replace("${IFS}", " ").replace("$IFS", " ").translate(_QUOTES).split())

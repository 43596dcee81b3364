"""Shell text -> a tree: lists, pipelines, commands, redirections, `for` and `while`.

Understands quotes, $NAME, ${NAME}, $?, `;` `&&` `||` `|` `<` `>` `>>` `2>` `2>&1` `>&2` and comments.
Anything else of a shell (substitution, functions, background jobs) is refused by name, not guessed.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

MAX_SCRIPT_BYTES: Final = 64 * 1024
MAX_NESTING: Final = 32


class ShellSyntaxError(ValueError):
    """The text is no script this toy shell understands."""


class Piece(msgspec.Struct, frozen=True):
    """Part of a word. expand: $NAME in it counts. quoted: never split into words."""

    text: str
    expand: bool
    quoted: bool


Word: TypeAlias = tuple[Piece, ...]


class Redirection(msgspec.Struct, frozen=True):
    """descriptor 0, 1 or 2 goes to a file (`<`, `>`, `>>`) or where another goes (`>&`)."""

    descriptor: int
    operator: str
    word: Word


class Simple(msgspec.Struct, frozen=True):
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]


class For(msgspec.Struct, frozen=True):
    name: str
    words: tuple[Word, ...]
    body: "List"


class While(msgspec.Struct, frozen=True):
    condition: "List"
    body: "List"


Command: TypeAlias = Simple | For | While


class Item(msgspec.Struct, frozen=True):
    """One pipeline of a list and what joins it to the one before: ";", "&&" or "||". negated: by "!"."""

    joint: str
    pipeline: tuple[Command, ...]
    negated: bool = False


class List(msgspec.Struct, frozen=True):
    items: tuple[Item, ...]


_Token: TypeAlias = Word | str
_OPERATOR: Final = re.compile(r"&&|\|\||2>&1|1?>&2|2>>|2>|1?>>|1?>|<|[;|\n]")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*|\?)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_REDIRECTIONS: Final = frozenset({"<", ">", ">>", "1>", "1>>", "2>", "2>>", "2>&1", ">&2", "1>&2"})


def parse_script(text: str) -> List:
    """Raises ShellSyntaxError."""
    if len(text) > MAX_SCRIPT_BYTES:
        raise ShellSyntaxError("script too long")
    parser = _Parser(_tokenize(text))
    parsed = parser.parse_list(frozenset(), 0)
    parser.expect_end()
    return parsed


def expand_word(word: Word, look_up: Callable[[str], str]) -> list[str]:
    """The words a word becomes: unquoted variables are split on blanks."""
    words, current, started = [], "", False
    for piece in word:
        text = piece.text
        if piece.expand:
            text = _VARIABLE.sub(lambda found: look_up(found[1] or found[2]), text)
        if piece.quoted or not piece.expand or text == piece.text:
            current, started = current + text, started or bool(text) or piece.quoted
            continue
        parts = re.split(r"[ \t\n]+", text)
        for index, part in enumerate(parts):
            if index and started:
                words.append(current)
                current, started = "", False
            if part:
                current, started = current + part, True
    return [*words, current] if started else words


def _tokenize(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    word: list[Piece] = []
    at = 0
    while at < len(text):
        char, operator = text[at], _OPERATOR.match(text, at)
        if operator and word and char in "12":
            operator = None  # the digit belongs to the word before it
        if char not in " \t" and operator is None and (word or char != "#"):
            piece, at = _read_piece(text, at)
            word.append(piece)
            continue
        if word:
            tokens.append(tuple(word))
            word = []
        if operator:
            tokens.append(operator[0])
            at = operator.end()
        elif char == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            at += 1
    return [*tokens, tuple(word)] if word else tokens


def _read_piece(text: str, at: int) -> tuple[Piece, int]:
    """One quoted or bare piece of a word from an offset on, and the offset after it."""
    char = text[at]
    if char in "'\"":
        end = at + 1
        while end < len(text) and text[end] != char:
            end += 2 if char == '"' and text[end] == "\\" else 1
        if end >= len(text):
            raise ShellSyntaxError("unterminated quoted string")
        inner = text[at + 1 : end]
        if char == '"':
            _refuse_substitution(inner)
            inner = re.sub(r'\\([$`"\\])', r"\1", inner)
        return Piece(inner, char == '"', True), end + 1
    if char == "\\":
        return Piece(text[at + 1 : at + 2], False, True), at + 2
    end = at + 1
    while end < len(text) and text[end] not in " \t\n;|&<>'\"\\":
        end += 1
    bare = text[at:end]
    if char in "&()`" or "`" in bare or "(" in bare:
        raise ShellSyntaxError(f"this toy shell does not understand: {bare[:20]}")
    _refuse_substitution(bare)
    return Piece(bare, True, False), end


def _refuse_substitution(text: str) -> None:
    if "$(" in text or "`" in text:
        raise ShellSyntaxError("this toy shell does not substitute commands")


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at = tokens, 0

    def parse_list(self, until: frozenset[str], depth: int) -> List:
        """Pipelines up to a reserved word of `until`, which is left unread."""
        if depth > MAX_NESTING:
            raise ShellSyntaxError("nested too deep")
        items: list[Item] = []
        joint = ";"
        while True:
            while self._peek() in (";", "\n"):
                self._at += 1
                joint = ";" if joint == ";" else joint
            if self._peek() is None or self._reserved() in until:
                return List(tuple(items))
            negated = self._reserved() == "!"
            self._at += negated
            items.append(Item(joint, self._parse_pipeline(depth), negated))
            following = self._peek()
            if isinstance(following, str) and following in ("&&", "||", ";", "\n"):
                self._at += 1
                joint = following if following in ("&&", "||") else ";"
            else:
                joint = ";"

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise ShellSyntaxError("syntax error: unexpected word")

    def _parse_pipeline(self, depth: int) -> tuple[Command, ...]:
        commands = [self._parse_command(depth)]
        while self._peek() == "|":
            self._at += 1
            commands.append(self._parse_command(depth))
        return tuple(commands)

    def _parse_command(self, depth: int) -> Command:
        reserved = self._reserved()
        if reserved == "for":
            return self._parse_for(depth)
        if reserved == "while":
            self._at += 1
            condition = self.parse_list(frozenset({"do"}), depth + 1)
            return While(condition, self._parse_body(depth))
        words: list[Word] = []
        redirections: list[Redirection] = []
        while (token := self._peek()) is not None:
            if isinstance(token, tuple):
                words.append(token)
                self._at += 1
            elif token in _REDIRECTIONS:
                self._at += 1
                redirections.append(self._parse_redirection(token))
            else:
                break
        if not words and not redirections:
            raise ShellSyntaxError("syntax error: a command is missing")
        return Simple(tuple(words), tuple(redirections))

    def _parse_redirection(self, operator: str) -> Redirection:
        if operator in ("2>&1", ">&2", "1>&2"):
            target = operator[-1]
            return Redirection(2 if operator == "2>&1" else 1, ">&", (Piece(target, False, False),))
        descriptor = 0 if operator == "<" else 2 if operator.startswith("2") else 1
        return Redirection(descriptor, operator.lstrip("12"), self._take_word())

    def _parse_for(self, depth: int) -> For:
        self._at += 1
        name = plain_text(self._take_word())
        if not _NAME.fullmatch(name) or self._reserved() != "in":
            raise ShellSyntaxError("syntax error: for NAME in WORDS")
        self._at += 1
        words = []
        while isinstance(self._peek(), tuple):
            words.append(self._take_word())
        while self._peek() in (";", "\n"):
            self._at += 1
        return For(name, tuple(words), self._parse_body(depth))

    def _parse_body(self, depth: int) -> List:
        if self._reserved() != "do":
            raise ShellSyntaxError("syntax error: do is missing")
        self._at += 1
        body = self.parse_list(frozenset({"done"}), depth + 1)
        if self._reserved() != "done":
            raise ShellSyntaxError("syntax error: done is missing")
        self._at += 1
        return body

    def _take_word(self) -> Word:
        token = self._peek()
        if not isinstance(token, tuple):
            raise ShellSyntaxError("syntax error: a word is missing")
        self._at += 1
        return token

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _reserved(self) -> str:
        token = self._peek()
        return plain_text(token) if isinstance(token, tuple) else ""


def plain_text(word: Word) -> str:
    """A word without any quoting, else ""."""
    return word[0].text if len(word) == 1 and not word[0].quoted else ""

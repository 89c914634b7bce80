"""The text of an expression: characters to a tree, each part with its place.

Here belong words, grammar and the error that names a place. What names mean and whether units fit: `checking.py`.

    or   := and ("or" and)*            and  := not ("and" not)*        not := "not" not | comparison
    comparison := sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)?
    sum  := term (("+" | "-") term)*   term := factor (("*" | "/") factor)*
    factor := "-" factor | number [unit] | "true" | "false" | name ["(" or ("," or)* ")"] | "(" or ")"
"""

import re
from dataclasses import dataclass
from typing import Final

from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.units import UNIT_NAMES

MAX_CHARACTERS: Final = 2000
MAX_DEPTH: Final = 32
MAX_WORDS: Final = 300
_UNITS: Final = "|".join(re.escape(name) for name in sorted(UNIT_NAMES, key=len, reverse=True) if name != "1")
_TOKEN: Final = re.compile(
    r"(?P<space>\s+)"
    rf"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:[ \t]*(?P<unit>{_UNITS})(?![A-Za-z0-9_(]))?"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<mark><=|>=|==|!=|[-+*/<>(),])"
)
COMPARISONS: Final = ("<", "<=", ">", ">=", "==", "!=")
_WORDS: Final = ("and", "or", "not", "true", "false")


class ExpressionError(InvalidPolicyError):
    """An expression that cannot be used; the message names the place, the rule and the remedy."""

    def __init__(self, text: str, at: int, problem: str, within: str = "") -> None:
        near = text[at : at + 24].split("\n", 1)[0].strip() or "the end"
        place = f"in {within!r}, " if within else ""
        super().__init__(f"{place}character {at + 1} (at {near!r}): {problem}")
        self.at, self.problem, self.within = at, problem, within


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its unit, None for a bare one."""

    value: float
    unit: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Truth:
    """``true`` or ``false``."""

    value: bool
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """A signal or a parameter."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator and what it is applied to: a function's name, or one of the marks and words of the grammar."""

    operator: str
    arguments: "tuple[Tree, ...]"
    at: int


Tree = Number | Truth | Name | Apply


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    unit: str | None = None


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(text, at, f"{text[at]!r} has no meaning here. Remove it")
        for kind in ("number", "name", "mark"):
            if match[kind] is not None:
                word = "word" if match[kind] in _WORDS else kind
                found.append(_Token(word, match[kind], at, match["unit"] if kind == "number" else None))
        if len(found) > MAX_WORDS:
            raise ExpressionError(text, at, f"more than {MAX_WORDS} words and marks. Split the expression")
        at = match.end()
    return [*found, _Token("end", "", len(text))]


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._next, self._depth = text, _tokens(text), 0, 0

    def whole(self) -> Tree:
        """The whole text as one tree."""
        tree = self._either()
        if self._here.kind != "end":
            raise self._error("expected an operator or the end. Join conditions by `and` or `or`")
        return tree

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _error(self, problem: str) -> ExpressionError:
        return ExpressionError(self._text, self._here.at, problem)

    def _take(self, *texts: str) -> _Token | None:
        token = self._here
        if token.kind in {"mark", "word"} and token.text in texts:
            self._next += 1
            return token
        return None

    def _either(self) -> Tree:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels. Split the expression")
        tree = self._both()
        while token := self._take("or"):
            tree = Apply("or", (tree, self._both()), token.at)
        self._depth -= 1
        return tree

    def _both(self) -> Tree:
        tree = self._denied()
        while token := self._take("and"):
            tree = Apply("and", (tree, self._denied()), token.at)
        return tree

    def _denied(self) -> Tree:
        nots = []
        while token := self._take("not"):
            nots.append(token)
        tree = self._comparison()
        for token in reversed(nots):
            tree = Apply("not", (tree,), token.at)
        return tree

    def _comparison(self) -> Tree:
        tree = self._sum()
        if token := self._take(*COMPARISONS):
            tree = Apply(token.text, (tree, self._sum()), token.at)
            if self._here.text in COMPARISONS:
                raise self._error("a second comparison in a row. Write `a < b and b < c`")
        return tree

    def _sum(self) -> Tree:
        tree = self._term()
        while token := self._take("+", "-"):
            tree = Apply(token.text, (tree, self._term()), token.at)
        return tree

    def _term(self) -> Tree:
        tree = self._factor()
        while token := self._take("*", "/"):
            tree = Apply(token.text, (tree, self._factor()), token.at)
        return tree

    def _factor(self) -> Tree:
        minuses = []
        while token := self._take("-"):
            minuses.append(token)
        tree = self._atom()
        for token in reversed(minuses):
            tree = Apply("negate", (tree,), token.at)
        return tree

    def _atom(self) -> Tree:
        token = self._here
        if token.kind == "number":
            self._next += 1
            return Number(float(token.text), token.unit, token.at)
        if word := self._take("true", "false"):
            return Truth(word.text == "true", word.at)
        if token.kind == "name":
            self._next += 1
            return self._call(token) if self._take("(") else Name(token.text, token.at)
        if self._take("("):
            tree = self._either()
            self._close(token)
            return tree
        raise self._error("expected a number, a signal, a function or `(`")

    def _call(self, name: _Token) -> Tree:
        arguments = [self._either()]
        while self._take(","):
            arguments.append(self._either())
        self._close(name)
        return Apply(name.text, tuple(arguments), name.at)

    def _close(self, opened: _Token) -> None:
        if self._take(")") is None:
            raise self._error(f"expected `)` for what was opened at character {opened.at + 1}. Close it")


def parse(text: str) -> Tree:
    """Read an expression.

    Args:
        text: The expression.

    Raises:
        ExpressionError: Naming the character at which it cannot be read, and what to write instead.
    """
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(text, MAX_CHARACTERS, f"{len(text)} characters, limit {MAX_CHARACTERS}. Split it")
    return _Parser(text).whole()

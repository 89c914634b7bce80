"""The language in which clips are searched: words, "phrases", -exclusions and fields such as tag:night or speed>20.

Here belong parsing and the conditions as SQL. Which fields there are is the policies' business, how text is ranked that
of the index.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

RELATIONS: Final = (">=", "<=", "!=", ":", "=", ">", "<")
_ORDER: Final = frozenset({">=", "<=", ">", "<"})
_TOKEN: Final = re.compile(
    r"""(?P<minus>-?)(?:(?P<field>[A-Za-z_][A-Za-z0-9_]*)(?P<relation>>=|<=|!=|[:=><]))?(?P<value>"[^"]*"|[^\s"]+)"""
)
_WORD: Final = re.compile(r"\w", re.UNICODE)
_SQL: Final = {":": "=", "=": "="}


class BadQueryError(ValueError):
    """A query that cannot be understood; the message names the part, the rule and the remedy."""


@dataclass(frozen=True, slots=True)
class SearchField:
    """What a name in a query stands for.

    Attributes:
        column: Column of the documents.
        type: `number`, `text`, or `words` for a column that holds several.
    """

    column: str
    type: str


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a column.

    Attributes:
        column: Column of the documents.
        type: As of its field.
        relation: SQL comparison.
        values: One value; of text and words several, any of which is meant.
        negated: Whether documents that fulfil it are left out.
    """

    column: str
    type: str
    relation: str
    values: tuple[str | float, ...]
    negated: bool = False

    @property
    def sql(self) -> str:
        """The condition in SQL as DuckDB and DataFusion both read it; a null fulfils no condition and its opposite."""
        if self.type == "words":
            plain = " OR ".join(f"array_has({self.column}, {_literal(value)})" for value in self.values)
        elif len(self.values) > 1:
            plain = f"{self.column} IN ({', '.join(map(_literal, self.values))})"
        else:
            plain = f"{self.column} {self.relation} {_literal(self.values[0])}"
        return f"NOT coalesce({plain}, false)" if self.negated else f"({plain})"


def _literal(value: str | float) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(float(value))


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A parsed query.

    Attributes:
        words: Words to rank by; a document needs at least one of them.
        phrases: Words that have to follow each other.
        excluded: Words and phrases that must not occur.
        conditions: Conditions on fields, all of which have to hold.
    """

    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def has_text(self) -> bool:
        """Whether anything is asked of the text."""
        return bool(self.words or self.phrases)

    @property
    def where(self) -> str | None:
        """All conditions in SQL; None where there are none."""
        return " AND ".join(condition.sql for condition in self.conditions) or None


def search_fields(names: Mapping[str, str], types: Mapping[str, str], several: Sequence[str]) -> dict[str, SearchField]:
    """Fields of queries.

    Args:
        names: Name in a query → column.
        types: Column → its type in the table.
        several: Text columns that hold several words.
    """
    return {
        name: SearchField(column, "words" if column in several else "text" if types[column] == "string" else "number")
        for name, column in names.items()
    }


def parse_query(text: str, fields: Mapping[str, SearchField]) -> SearchQuery:
    """Parse a query.

    Args:
        text: What a person typed.
        fields: Names before a colon or comparison.

    Raises:
        BadQueryError: On an open quote, an unknown field, a value that its column cannot have, or nothing to search.
    """
    if text.count('"') % 2:
        raise BadQueryError("a quote is open. Close it, or leave it out.")
    parts: dict[str, list[Any]] = {"words": [], "phrases": [], "excluded": [], "conditions": []}
    for match in _TOKEN.finditer(text):
        value, negated = match["value"].strip('"'), bool(match["minus"])
        if match["field"] is not None:
            parts["conditions"].append(_condition(match, fields))
        elif _WORD.search(value):
            quoted = match["value"].startswith('"')
            parts["excluded" if negated else "phrases" if quoted and " " in value else "words"].append(value)
    query = SearchQuery(**{name: tuple(found) for name, found in parts.items()})
    if query.excluded and not query.has_text:
        raise BadQueryError(f"-{query.excluded[0]} takes away from nothing. Add a word that is searched for.")
    if not query.has_text and not query.conditions:
        raise BadQueryError(f"nothing to search for in {text!r}. Write words, or a field such as {_example(fields)}.")
    return query


def _condition(match: re.Match[str], fields: Mapping[str, SearchField]) -> Condition:
    name, relation, value = match["field"].lower(), match["relation"], match["value"].strip('"')
    written = f"{name}{relation}{value}"
    if name not in fields:
        near = get_close_matches(name, fields, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BadQueryError(
            f"{written}: there is no field {name!r}.{hint} Fields: {', '.join(sorted(fields))}. "
            f'To search for the text itself, write it in quotes: "{name} {value}".'
        )
    field, negated = fields[name], bool(match["minus"]) != (relation == "!=")
    if field.type == "number":
        plain = "=" if relation == "!=" else _SQL.get(relation, relation)
        return Condition(field.column, field.type, plain, (_number(written, value),), negated)
    if field.type == "words" and relation in _ORDER:
        raise BadQueryError(f"{written}: {name} holds words, which are not in order. Write {name}:{value}.")
    values = tuple(part for part in value.split(",") if part)
    if not values or (relation in _ORDER and len(values) > 1):
        raise BadQueryError(
            f"{written}: expected {'one value' if values else 'a value'}. Write e.g. {name}{relation}X."
        )
    return Condition(field.column, field.type, relation if relation in _ORDER else "=", values, negated)


def _number(written: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise BadQueryError(f"{written}: {value!r} is no number. Write e.g. {written.removesuffix(value)}20.") from None
    if number != number or number in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN
        raise BadQueryError(f"{written}: {value!r} is no finite number. Write e.g. {written.removesuffix(value)}20.")
    return number


def _example(fields: Mapping[str, SearchField]) -> str:
    return f"{sorted(fields)[0]}:X" if fields else "NAME:X"

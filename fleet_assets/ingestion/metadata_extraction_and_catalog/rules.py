"""The policy `catalog` as frozen data, held against the signals and tables that it names.

Here belongs what the document says. How a figure is computed is in `figures.py`, what becomes of it in `clips.py` and
`documents.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.search_query import SearchField, search_fields
from fleet_assets.tables.catalog import CLIP_CATALOG, FIGURES, SEARCH_DOCUMENTS, WORD_COLUMNS
from fleet_assets.tables.schema import Table

_FIGURES = frozenset(column.name for column in FIGURES)


@dataclass(frozen=True, slots=True)
class FigureRule:
    """How one figure of a clip comes about.

    Attributes:
        name: Column of the catalog.
        of: Signals; the first one that the clip has counts.
        take: What is taken of it.
        limit: Largest absolute value that counts, for shares.
        over_s: Time over which a change or level is taken.
    """

    name: str
    of: tuple[str, ...]
    take: str
    limit: float = 0.0
    over_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TagRule:
    """One condition of a tag, or of a word.

    Attributes:
        column: Column of the table.
        relation: `equals`, `at_least`, `at_most` or `contains`.
        value: What it is compared with.
    """

    column: str
    relation: str
    value: str | float

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row fulfils it; a value that is not there fulfils nothing."""
        found = row[self.column]
        if found is None:
            return False
        if self.relation == "at_least":
            return bool(found >= self.value)
        if self.relation == "at_most":
            return bool(found <= self.value)
        return self.value in found.split() if self.relation == "contains" else bool(found == self.value)


@dataclass(frozen=True, slots=True)
class CatalogRules:
    """What the catalog says about a clip.

    Attributes:
        position: Signals of latitude and longitude.
        reach_s: How far in time a position may be taken from for the light.
        product_cells: H3 resolution of product tables.
        personal_cells: H3 resolution of personal data.
        figures: Rules of the figures.
        min_share: Share of a clip's instants at which a figure needs a value.
        tags: Tag → conditions that all have to hold.
    """

    position: tuple[str, str]
    reach_s: float
    product_cells: int
    personal_cells: int
    figures: tuple[FigureRule, ...]
    min_share: float
    tags: Mapping[str, tuple[TagRule, ...]]

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any], signals: Table) -> Self:
        """Turn the schema-checked document into data.

        Args:
            policy: The document `catalog`.
            signals: The table `silver.signals`.

        Raises:
            InvalidPolicyError: Naming every signal, column or comparison that cannot be.
        """
        known = set(signals.arrow_schema.names)
        problems = [*_unknown_signals(policy, known), *_unknown_columns(policy), *_unlike(policy)]
        if problems:
            raise InvalidPolicyError("catalog: " + "; ".join(sorted(problems)))
        latitude, longitude = policy["position"]
        return cls(
            position=(latitude, longitude),
            reach_s=policy["reach_s"],
            product_cells=policy["cells"]["product"],
            personal_cells=policy["cells"]["personal"],
            figures=tuple(
                FigureRule(name, tuple(body["of"]), body["take"], body.get("limit", 0.0), body.get("over_s", 0.0))
                for name, body in policy["figures"].items()
            ),
            min_share=policy["min_share"],
            tags={tag: tuple(_tag_rule(rule) for rule in rules) for tag, rules in policy["tags"].items()},
        )


def _tag_rule(body: Mapping[str, Any]) -> TagRule:
    ((relation, value),) = [(name, value) for name, value in body.items() if name != "column"]
    return TagRule(body["column"], relation, value)


def _unknown_signals(policy: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    named = [("position", name) for name in policy["position"]]
    named += [(f"figures/{figure}", name) for figure, body in policy["figures"].items() for name in body["of"]]
    for place, name in named:
        if name not in known:
            yield f"{place}: {name!r} is no signal on the grid. Name one of canonical_signals"


def _unknown_columns(policy: Mapping[str, Any]) -> Iterator[str]:
    for name in policy["figures"]:
        if name not in _FIGURES:
            yield f"figures/{name}: no figure of silver.clip_catalog. Use one of {', '.join(sorted(_FIGURES))}"
    catalog, documents = set(CLIP_CATALOG.arrow_schema.names), set(SEARCH_DOCUMENTS.arrow_schema.names)
    for tag, rules in policy["tags"].items():
        for rule in rules:
            if rule["column"] not in catalog:
                yield f"tags/{tag}: silver.clip_catalog has no column {rule['column']!r}. Correct the name"
    for name, column in policy["documents"]["fields"].items():
        if column not in documents:
            yield f"documents/fields/{name}: silver.search_documents has no column {column!r}. Correct the name"


def _unlike(policy: Mapping[str, Any]) -> Iterator[str]:
    """Comparisons of a number with a text column, or the other way round."""
    types = {column.name: column.type for column in CLIP_CATALOG.columns}
    for tag, rules in policy["tags"].items():
        for rule in (one for one in rules if one["column"] in types):
            condition = _tag_rule(rule)
            if (types[condition.column] == "string") != isinstance(condition.value, str):
                yield f"tags/{tag}: {condition.column} is {types[condition.column]}, not like {condition.value!r}"


def query_fields(policy: Mapping[str, Any]) -> dict[str, SearchField]:
    """Names that a query may use, and the columns of the search documents that they stand for.

    Args:
        policy: The document `catalog`.

    Raises:
        InvalidPolicyError: Naming columns that the documents do not have.
    """
    names, types = policy["documents"]["fields"], {column.name: column.type for column in SEARCH_DOCUMENTS.columns}
    if missing := {name: column for name, column in names.items() if column not in types}:
        told = "; ".join(f"documents/fields/{name}: no column {column!r}" for name, column in missing.items())
        raise InvalidPolicyError(f"catalog: {told} in silver.search_documents. Correct the name")
    return search_fields(names, types, WORD_COLUMNS)


@dataclass(frozen=True, slots=True)
class TextSource:
    """A table that gives words to documents.

    Attributes:
        table: Dotted name.
        text: Columns whose values are words.
        span: Columns of a row's first and last instant, for tables without clips.
        says: Word → conditions on a row that all have to hold for it, in order of the words.
    """

    table: str
    text: tuple[str, ...]
    span: tuple[str, str] | None
    says: tuple[tuple[str, tuple[TagRule, ...]], ...] = ()


def text_sources(policy: Mapping[str, Any], tables: Mapping[str, Table], inputs: tuple[str, ...]) -> list[TextSource]:
    """Sources of text that the policy names.

    Args:
        policy: The document `catalog`.
        tables: All tables by dotted name.
        inputs: Tables that the operator reads.

    Raises:
        InvalidPolicyError: Naming tables that it does not read, personal ones, and columns that they do not have.
    """
    found, problems = [], []
    for body in policy["documents"]["sources"]:
        name, span = body["table"], body.get("span")
        if name not in inputs:
            problems.append(f"{name} is not among the inputs of search documents. Use one of {', '.join(inputs)}")
            continue
        if tables[name].personal:
            problems.append(f"{name} holds personal data. Take its words out of the documents")
        text, says = body.get("text", ()), sorted(body.get("says", {}).items())
        wanted = [*text, *(span or ()), *(rule["column"] for _, rules in says for rule in rules)]
        missing = [column for column in wanted if column not in tables[name].arrow_schema.names]
        problems += [f"{name} has no column {column!r}. Correct the name" for column in missing]
        conditions = tuple((word, tuple(_tag_rule(rule) for rule in rules)) for word, rules in says)
        found.append(TextSource(name, tuple(text), (span[0], span[1]) if span else None, conditions))
    if problems:
        raise InvalidPolicyError("catalog: documents/sources: " + "; ".join(sorted(problems)))
    return found

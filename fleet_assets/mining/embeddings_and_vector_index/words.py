"""What is said about a clip in words, from the tables that the policy names, and how much each sentence counts.

Here belongs putting sentences together. What a model makes of them is in `operators.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final

Row = Mapping[str, Any]
_RATE_KM: Final = 100.0


@dataclass(frozen=True, slots=True)
class Known:
    """What another policy says of a name.

    Attributes:
        description: A sentence.
        usual_per_100km: How often it is usual.
    """

    description: str
    usual_per_100km: float


def clip_sentences(
    policy: Mapping[str, Any], rows: Mapping[str, Sequence[Row]], known: Mapping[str, Mapping[str, Known]]
) -> dict[str, float]:
    """The sentences about one clip, each once, in the order of the policy, with their weights.

    Args:
        policy: Key `words` of the document `embeddings`.
        rows: Rows about the clip by table.
        known: Policy document → what it says of each of its names.
    """
    found: dict[str, float] = {}
    for phrase in policy["phrases"]:
        for row in rows.get(phrase["table"], ()):
            if _holds(phrase.get("rules", ()), row):
                for text, weight in _said(phrase, row, known):
                    found.setdefault(text, weight)
    return found


def columns_of(policy: Mapping[str, Any]) -> dict[str, set[str]]:
    """Columns that the phrases read, by table."""
    found: dict[str, set[str]] = {}
    for phrase in policy["phrases"]:
        own = found.setdefault(phrase["table"], set())
        own |= {phrase[key] for key in ("value", "words") if key in phrase}
        own |= {rule["column"] for rule in phrase.get("rules", ())}
    return found


def _said(phrase: Mapping[str, Any], row: Row, known: Mapping[str, Mapping[str, Known]]) -> Iterator[tuple[str, float]]:
    if "value" not in phrase and "words" not in phrase:
        yield phrase["say"], 1.0
        return
    value = row[phrase["value"]] if "value" in phrase else row[phrase["words"]]
    if value is None:
        return
    for one in [str(value)] if "value" in phrase else str(value).split():
        name = phrase.get("called", {}).get(one, one.replace("_", " "))
        about = known.get(phrase.get("described_by", ""), {}).get(one)
        text = phrase["say"].replace("{}", name)
        yield f"{text}: {about.description.rstrip('.')}" if about else text, _weight(phrase, about)


def _weight(phrase: Mapping[str, Any], about: Known | None) -> float:
    """How much a sentence tells: the information, in nats, of what is so rare over a clip's distance; at least 1."""
    if about is None or "rare_over_km" not in phrase:
        return 1.0
    return max(1.0, -log(about.usual_per_100km * phrase["rare_over_km"] / _RATE_KM))


def _holds(rules: Sequence[Mapping[str, Any]], row: Row) -> bool:
    """Whether all rules hold; a value that is not there fulfils none."""
    return all(
        row[rule["column"]] is not None
        and ("equals" not in rule or row[rule["column"]] == rule["equals"])
        and ("at_least" not in rule or row[rule["column"]] >= rule["at_least"])
        and ("at_most" not in rule or row[rule["column"]] <= rule["at_most"])
        for rule in rules
    )

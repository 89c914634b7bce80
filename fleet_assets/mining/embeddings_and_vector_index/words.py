"""What is said about a clip in words, from the tables that the policy names.

Here belongs putting phrases together. What a model makes of them is in `operators.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def clip_text(
    policy: Mapping[str, Any],
    rows: Mapping[str, Sequence[Row]],
    descriptions: Mapping[str, Mapping[str, str]],
) -> str:
    """The sentences about one clip, each once, in the order of the policy; empty where nothing is to be said.

    Args:
        policy: Key `words` of the document `embeddings`.
        rows: Rows about the clip by table.
        descriptions: Policy document → description of each of its names.
    """
    said = [
        text
        for phrase in policy["phrases"]
        for row in rows.get(phrase["table"], ())
        if _holds(phrase.get("rules", ()), row)
        for text in _said(phrase, row, descriptions)
    ]
    return str(policy["between"]).join(dict.fromkeys(said))


def columns_of(policy: Mapping[str, Any]) -> dict[str, set[str]]:
    """Columns that the phrases read, by table."""
    found: dict[str, set[str]] = {}
    for phrase in policy["phrases"]:
        own = found.setdefault(phrase["table"], set())
        own |= {phrase[key] for key in ("value", "words") if key in phrase}
        own |= {rule["column"] for rule in phrase.get("rules", ())}
    return found


def _said(phrase: Mapping[str, Any], row: Row, descriptions: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    if "value" not in phrase and "words" not in phrase:
        yield phrase["say"]
        return
    value = row[phrase["value"]] if "value" in phrase else row[phrase["words"]]
    if value is None:
        return
    for one in [str(value)] if "value" in phrase else str(value).split():
        name = phrase.get("called", {}).get(one, one.replace("_", " "))
        described = descriptions.get(phrase.get("described_by", ""), {}).get(one)
        text = phrase["say"].replace("{}", name)
        yield f"{text}: {described.rstrip('.')}" if described else text


def _holds(rules: Sequence[Mapping[str, Any]], row: Row) -> bool:
    """Whether all rules hold; a value that is not there fulfils none."""
    return all(
        row[rule["column"]] is not None
        and ("equals" not in rule or row[rule["column"]] == rule["equals"])
        and ("at_least" not in rule or row[rule["column"]] >= rule["at_least"])
        and ("at_most" not in rule or row[rule["column"]] <= rule["at_most"])
        for rule in rules
    )

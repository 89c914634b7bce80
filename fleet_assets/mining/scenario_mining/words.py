"""Text of mining requests: the language of `fleet search` over the documents of clips, asked of the table itself.

The index behind `fleet search` ranks by its own statistics, which are no part of any table's identity. Here a document
is worth the share of the query's rarity that its words have.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.mining.scenario_mining.predicates import Judge
from fleet_assets.mining.scenario_mining.requests import InvalidMiningRequestError
from fleet_assets.policy.search_query import BadQueryError, SearchField, parse_query, search_fields
from fleet_assets.tables.catalog import SEARCH_DOCUMENTS, WORD_COLUMNS

_WORD: Final = re.compile(r"\w+", re.UNICODE)


def document_fields(names: Mapping[str, str]) -> dict[str, SearchField]:
    """Fields of queries.

    Args:
        names: Name in a query → column of the documents.
    """
    types = {column.name: column.type for column in SEARCH_DOCUMENTS.columns}
    return search_fields(names, types, WORD_COLUMNS)


def words_of(text: str) -> list[str]:
    """Words of a text in their order, in lower case."""
    return _WORD.findall(text.casefold())


def text_scores(query: str, documents: Any, fields: Mapping[str, SearchField], judge: Judge) -> NDArray[np.float64]:
    """How well each document answers a query, 0 where it does not.

    Args:
        query: As of `fleet search`.
        documents: Rows of `silver.search_documents`, the same that the judge sees as its clips.
        fields: Names before a colon or comparison.
        judge: Answers conditions on fields; columns of several words are lists there.

    Returns:
        float64[n] in 0 to 1; 1 for all that fulfil a query without words.

    Raises:
        InvalidMiningRequestError: When the query cannot be understood.
    """
    try:
        asked = parse_query(query, fields)
    except BadQueryError as error:
        raise InvalidMiningRequestError(f"text/words: {error}") from error
    found = [words_of(text) for text in documents["text"].to_pylist()]
    wanted = [*(tuple(words_of(word)) for word in asked.words), *(tuple(words_of(one)) for one in asked.phrases)]
    scores = _scores([one for one in wanted if one], found)
    for index, words in enumerate(found):
        left_out = any(_has(words, words_of(one)) for one in asked.excluded)
        lacks = any(not _has(words, words_of(one)) for one in asked.phrases)
        if left_out or lacks:
            scores[index] = 0.0
    if asked.where is not None:
        scores *= judge(_as_lists(asked.where), "text/words")
    return scores


def _as_lists(condition: str) -> str:
    """The condition with the list function that predicates may call."""
    return condition.replace("array_has(", "list_contains(")


def _scores(wanted: Sequence[tuple[str, ...]], documents: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Share of the rarity of what is wanted that each document has."""
    if not wanted:
        return np.ones(len(documents), dtype=np.float64)
    has = np.array([[_has(words, one) for one in wanted] for words in documents], dtype=np.float64)
    has = has.reshape(len(documents), len(wanted))
    rarity = np.array([math.log1p(len(documents) / (1.0 + count)) for count in has.sum(axis=0)])
    return np.asarray(np.round(has @ rarity / rarity.sum(), 6), dtype=np.float64)


def _has(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the wanted words follow each other in a text."""
    size = len(wanted)
    if size == 1:
        return wanted[0] in words
    return any(list(words[at : at + size]) == list(wanted) for at in range(len(words) - size + 1))


def listed(documents: Any) -> Any:
    """Documents with their columns of several words as lists, as conditions on fields want them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in WORD_COLUMNS:
        lists = pc.split_pattern(pc.coalesce(documents[name], pa.scalar("")), " ")
        documents = documents.set_column(documents.column_names.index(name), name, lists)
    return documents

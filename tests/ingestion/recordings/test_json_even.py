"""Lists of objects that are all written alike: read as columns, with the values that Python's own parser gives."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.tables.json_even import EvenObjects, even_objects

TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters='"\\}'), max_size=12)
NUMBERS = st.one_of(st.integers(-(1 << 53), 1 << 53), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
SEPARATORS = st.sampled_from([(", ", ": "), (",", ":"), (",\n  ", " : ")])


def even(text: str) -> EvenObjects:
    found = even_objects(text.encode())
    assert found is not None, text
    return found


@given(st.data(), SEPARATORS, st.lists(st.booleans(), min_size=1, max_size=4), st.integers(2, 30))
def test_columns_hold_what_the_parser_gives(
    data: st.DataObject, separators: tuple[str, str], kinds: list[bool], count: int
) -> None:
    row = st.tuples(*[TEXTS if is_text else NUMBERS for is_text in kinds])
    objects = [{f"n{place}": cell for place, cell in enumerate(data.draw(row))} for _ in range(count)]
    text = json.dumps(objects, separators=separators, ensure_ascii=False)[1:-1]
    found = even(text)
    assert (len(found), found.first) == (count, objects[0])
    for name in objects[0]:
        cells = [one[name] for one in objects]
        read: list[Any] = found.column(name).to_pylist()
        if {type(cell) for cell in cells} in ({str}, {int}, {float}):
            assert read == cells
        else:  # cells of several kinds become text, as in every table
            assert [json.loads(cell) for cell in read] == cells


GOOD = '{"t": 1, "a": "x"}, {"t": 2, "a": "yy"}, {"t": 3, "a": ""}'


@pytest.mark.parametrize(
    "text",
    [
        '{"t": 1, "a": "x"}',
        '{"t": 1, "a": "x"}, null, 7, {"t": 2, "a": "y"}',
        GOOD.replace('"yy"', '"y\\u0079"'),
        GOOD.replace('"yy"', '"y\ny"'),
        GOOD.replace('"yy"', '"y}y"').replace('"x"', '"x}"'),
        GOOD.replace('"t": 2', '"u": 2'),
        GOOD.replace('"t": 2', '"t":  2'),
        GOOD.replace('"t": 2', '"t": 02'),
        GOOD.replace('"t": 2', '"t": 2, 5'),
        GOOD.replace('"t": 2', '"t": [2]'),
        GOOD.replace('"t": 2', '"t": NaN'),
        GOOD.replace('"yy"}, {', '"yy"} {'),
        GOOD.replace('"yy"}, {', '"yy"}, , {'),
        GOOD.replace('"a"', '"t"'),
        GOOD + ",",
        GOOD + ', {"t": 4, "a": "z"',
        GOOD + ', {"t": 4}',
    ],
)
def test_what_is_not_alike_or_no_json_is_left_to_the_parser(text: str) -> None:
    assert even_objects(text.encode()) is None


def test_bytes_that_are_no_utf_8_are_left_to_the_parser() -> None:
    assert even(GOOD).column("a").to_pylist() == ["x", "yy", ""]
    assert even_objects(GOOD.replace("yy", "y\xfc").encode("latin-1")) is None


def test_one_long_text_among_short_ones_is_left_to_the_parser() -> None:
    objects = ", ".join(f'{{"t": {place}, "a": "{"x" * (10_000 if place == 5 else 1)}"}}' for place in range(1000))
    assert even_objects(objects.encode()) is None

"""The language of `fleet search`: what is understood, what is refused with a remedy, and what its SQL means."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.policy.search_query import BadQueryError, SearchField, parse_query, search_fields

FIELDS = {
    "tag": SearchField("tags", "words"),
    "depot": SearchField("depot", "text"),
    "day": SearchField("day", "text"),
    "speed": SearchField("speed_max_mps", "number"),
}
ROWS = (
    ("night", ["night", "slow"], "north", "2024-05-01", 12.5),
    ("jam", ["stop_and_go"], "south", "2024-05-02", 30.0),
    ("quiet", [], "it's", "2024-05-03", None),
)


def found(text: str) -> list[str]:
    """Names of the rows that fulfil a query's conditions, by DuckDB."""
    connection = duckdb.connect()
    connection.execute("create table clips(name text, tags text[], depot text, day text, speed_max_mps double)")
    connection.executemany("insert into clips values (?, ?, ?, ?, ?)", ROWS)
    where = parse_query(text, FIELDS).where
    return [name for (name,) in connection.execute(f"select name from clips where {where} order by name").fetchall()]  # noqa: S608


def test_words_phrases_exclusions_and_fields_are_told_apart() -> None:
    query = parse_query('night "hard brake" -rain -"stop and go" tag:night speed>20 "jam"', FIELDS)
    assert query.words == ("night", "jam")
    assert query.phrases == ("hard brake",)
    assert query.excluded == ("rain", "stop and go")
    assert [(one.column, one.relation, one.values) for one in query.conditions] == [
        ("tags", "=", ("night",)),
        ("speed_max_mps", ">", (20.0,)),
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("tag:night", ["night"]),
        ("tag:night,stop_and_go", ["jam", "night"]),
        ("-tag:night", ["jam", "quiet"]),
        ("tag!=night", ["jam", "quiet"]),
        ("-tag!=night", ["night"]),
        ("depot:north,south", ["jam", "night"]),
        ('depot:"it\'s"', ["quiet"]),
        ("day>=2024-05-02", ["jam", "quiet"]),
        ("day<2024-05-02", ["night"]),
        ("speed>12.5", ["jam"]),
        ("speed>=12.5", ["jam", "night"]),
        ("speed=30", ["jam"]),
        ("speed!=30", ["night", "quiet"]),
        ("-speed>20", ["night", "quiet"]),
        ("speed>10 tag:slow depot:north", ["night"]),
        ("speed>10 tag:slow depot:south", []),
        ("DEPOT:north", ["night"]),
    ],
)
def test_conditions_mean_in_sql_what_they_say(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('"hard brake', "a quote is open"),
        ("depott:north", "no field 'depott'. Did you mean depot? Fields: day, depot, speed, tag"),
        ("speed>fast", "'fast' is no number. Write e.g. speed>20"),
        ("speed>nan", "no finite number"),
        ("tag>night", "not in order. Write tag:night"),
        ("depot:,", "expected a value"),
        ("day>2024-05-01,2024-05-02", "expected one value"),
        ("-rain", "takes away from nothing"),
        ("-rain depot:north", "takes away from nothing"),
        ("", "nothing to search for"),
        ("?!", "nothing to search for"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused_with_the_remedy(text: str, part: str) -> None:
    with pytest.raises(BadQueryError) as refused:
        parse_query(text, FIELDS)
    assert part in str(refused.value)


def test_a_time_of_day_is_a_word_since_names_begin_with_a_letter() -> None:
    assert parse_query("12:30", FIELDS).words == ("12:30",)


@given(st.text(alphabet="ab:\"-<>=,' ;()%_*", max_size=30))
def test_whatever_is_typed_is_a_query_or_a_bad_query_and_never_other_sql(text: str) -> None:
    try:
        query = parse_query(text, FIELDS)
    except BadQueryError:
        return
    if query.where is not None:
        connection = duckdb.connect()
        connection.execute("create table clips(tags text[], depot text, day text, speed_max_mps double)")
        assert connection.execute(f"select count(*) from clips where {query.where}").fetchall() == [(0,)]  # noqa: S608


@given(st.text(max_size=20).filter(lambda text: '"' not in text and "," not in text and text.strip()))
def test_any_value_in_quotes_is_compared_as_it_is(value: str) -> None:
    condition = parse_query(f'depot:"{value}"', FIELDS).conditions[0] if value else None
    assert condition is not None
    assert condition.values == (value,)


def test_fields_have_the_type_of_their_column() -> None:
    made = search_fields(
        {"tag": "tags", "day": "day", "speed": "v"}, {"tags": "string", "day": "string", "v": "float64"}, ["tags"]
    )
    assert {name: field.type for name, field in made.items()} == {"tag": "words", "day": "text", "speed": "number"}

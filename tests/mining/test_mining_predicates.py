"""Predicates of mining requests: what they see, and that nothing else than conditions on tables gets through."""

import pyarrow as pa
import pytest

from fleet_assets.mining.scenario_mining.predicates import Judge, joined
from fleet_assets.mining.scenario_mining.requests import InvalidMiningRequestError
from fleet_assets.mining.scenario_mining.words import document_fields, listed, text_scores
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables.catalog import SEARCH_DOCUMENTS

POLICIES = load_policies()
FUNCTIONS = POLICIES["mining"]["functions"]
CLIPS = pa.table({
    "clip_id": ["a", "b", "c"], "speed": [1.0, None, 3.0], "tags": ["x y", "y", "z"], "t_ns": [0, 10**18, 3],
})  # fmt: skip
EVENTS = pa.table({"clip_id": ["a", "c", "c"], "trigger": ["brake", "swerve", "brake"], "score": [0.1, 0.5, 0.9]})
JUDGE = Judge({"clips": CLIPS, "events": EVENTS}, FUNCTIONS, memory_mb=256, seconds=20.0)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ("speed > 2", [False, False, True]),
        ("not speed > 2", [True, False, False]),  # what is unknown fulfils neither
        ("speed is null", [False, True, False]),
        ("coalesce(speed, 9) between 3 and 9", [False, True, True]),
        ("tags like '%y%'", [True, True, False]),
        ("list_contains(string_split(tags, ' '), 'y')", [True, True, False]),
        ("hour(make_timestamp_ns(t_ns)) = 1", [False, True, False]),
        ("case when speed > 2 then true else false end", [False, False, True]),
        ("exists (select 1 from events e where e.clip_id = clips.clip_id and e.score > 0.4)", [False, False, True]),
        ("clip_id in (select clip_id from events group by clip_id having count(*) > 1)", [False, False, True]),
        ("1/0 > 1", [True, True, True]),  # DuckDB divides as floats do
    ],
)
def test_a_predicate_says_of_each_clip_whether_it_holds(predicate: str, expected: list[bool]) -> None:
    assert JUDGE(predicate, "where/0").tolist() == expected


@pytest.mark.parametrize(
    "predicate",
    [
        "true; drop table clips",
        "true) as keep from clips union all select (true",
        "true) as keep, (select 1",
        "true) as keep from clips where (true",
        "exists (select 1 from read_csv('/etc/passwd'))",
        "exists (select 1 from '/etc/passwd')",
        "exists (select 1 from glob('*'))",
        "exists (select 1 from information_schema.tables)",
        "exists (select 1 from duckdb_settings())",
        "exists (select 1 from memory.main.events)",
        "exists (select 1 from bronze.drives)",
        "exists (values (1))",
        "exists (select 1 from events union select 2)",
        "exists (with recursive r as (select 1 union all select 1 from r) select 1 from r)",
        "exists (with e as (select 1) select 1 from e)",
        "exists (select 1 from events tablesample 10%)",
        "exists (select 1 from range(1000000000))",
        "exists (from (pivot events on trigger))",
        "exists (describe events)",
        "(select max(speed) over () from clips) > 1",
        "getenv('HOME') = 'x'",
        "read_text('/etc/passwd') = 'x'",
        "current_setting('threads') = '1'",
        "main.abs(speed) > 1",
        "random() > 0.5",
        "now() > make_timestamp_ns(t_ns)",
        "current_date is null",
        "current_timestamp is null",
        "list_transform([1], x -> x) is null",
        "$1 = 2",
        "count(*) > 1",
        "clip_id",
        "unheard_of > 1",
        "speed >",
        "",
    ],
)
def test_anything_else_is_refused_and_named(predicate: str) -> None:
    with pytest.raises(InvalidMiningRequestError) as refused:
        JUDGE(predicate, "where/7")
    assert str(refused.value).startswith("where/7")


def test_a_predicate_that_runs_on_and_on_is_given_up() -> None:
    many = pa.table({"clip_id": [str(n) for n in range(4000)], "speed": [float(n) for n in range(4000)]})
    judge = Judge({"clips": many, "events": EVENTS}, FUNCTIONS, memory_mb=256, seconds=0.3)
    endless = (
        "(select count(*) from clips a, clips b, clips c, clips d where a.speed + b.speed + c.speed > d.speed) > 0"
    )
    with pytest.raises(InvalidMiningRequestError, match="cannot be answered"):
        judge(endless, "where/0")


def test_relations_are_joined_on_their_clips() -> None:
    further = pa.table({"clip_id": ["c", "a"], "speed": [0.0, 0.0], "road": ["x", "y"]})
    found = joined([CLIPS, further]).sort_by("clip_id")
    assert found["road"].to_pylist() == ["y", None, "x"]
    assert found["speed"].to_pylist() == [1.0, None, 3.0]


def documents(*texts: str, **columns: list[object]) -> pa.Table:
    plain = {"string": "x", "int64": 0, "float64": 0.0, "int32": 0, "bool": False}
    rows = [
        {column.name: None if column.nullable else plain[column.type] for column in SEARCH_DOCUMENTS.columns}
        | {"clip_id": f"c{number}", "text": text}
        | {name: values[number] for name, values in columns.items()}
        for number, text in enumerate(texts)
    ]
    return listed(pa.Table.from_pylist(rows, schema=SEARCH_DOCUMENTS.arrow_schema))


def scores(query: str, rows: pa.Table) -> list[float]:
    fields = document_fields(POLICIES["catalog"]["documents"]["fields"])
    judge = Judge({"clips": rows}, FUNCTIONS, memory_mb=256, seconds=20.0)
    return [float(score) for score in text_scores(query, rows, fields, judge)]


def test_words_rank_phrases_bind_and_fields_narrow_down_as_in_search() -> None:
    rows = documents(
        "night rain hard brake", "night city", "day rain", "brake hard", tags=["night turn", "night", "", "turn"]
    )
    both, night, rain, none = scores("Night rain", rows)
    assert both == 1.0
    assert none == 0.0
    assert both > night > 0.0
    assert night == rain
    assert [score > 0 for score in scores('"hard brake"', rows)] == [True, False, False, False]
    assert [score > 0 for score in scores("night -city", rows)] == [True, False, False, False]
    assert [score > 0 for score in scores("night tag:turn", rows)] == [True, False, False, False]
    assert scores("tag:turn", rows) == [1.0, 0.0, 0.0, 1.0]
    for bad in ('"open', "unheard:x", "speed>fast"):
        with pytest.raises(InvalidMiningRequestError, match="text/words"):
            scores(bad, rows)

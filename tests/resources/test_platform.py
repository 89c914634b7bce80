"""The platform hands out the systems behind it; its log keeps each event once; SQL sees the tables and nothing else."""

from pathlib import Path

import pytest

from fleet_assets.provenance.objects import AccessDeniedError
from fleet_assets.tables.bronze import INGESTION_LOG
from fleet_assets.tables.ops import LANDING_QUARANTINE
from resources.home import open_home
from resources.platform import Fleet, UnknownTableError
from resources.s3 import S3Landing, S3Objects
from resources.sql import QueryError, query

EVENT = {
    "drive_id": "d1",
    "day": "2024-05-01",
    "depot": "north",
    "upload": "u1",
    "event": "landed",
    "detail": None,
    "bytes": 5,
}
REFUSED = {
    "upload": "it's",
    "drive_id": None,
    "scope": "upload",
    "rule": "manifest_json",
    "value": "[]",
    "limit": "one JSON object",
    "remedy": "Write it again.",
}


@pytest.fixture
def platform(tmp_path: Path) -> Fleet:
    return Fleet(home=str(tmp_path / "home"), granted=["raw", "open"])


def log(platform: Fleet, *ids: str, now_ns: int) -> int:
    events = [{**EVENT, "event_id": name * 64} for name in ids]
    return platform.append_log(INGESTION_LOG, events, "event_id", "logged_ns", now_ns)


def test_an_event_is_logged_once_with_the_time_of_the_first_telling(platform: Fleet) -> None:
    assert log(platform, "a", "b", now_ns=1) == 2
    assert log(platform, "b", "c", "c", now_ns=2) == 1
    rows = platform.lake.rows(INGESTION_LOG).to_pylist()
    assert {row["event_id"][0]: row["logged_ns"] for row in rows} == {"a": 1, "b": 1, "c": 2}
    assert log(platform, now_ns=3) == 0


def test_an_unknown_table_is_named_with_the_known_ones(platform: Fleet) -> None:
    with pytest.raises(UnknownTableError, match=r"no table 'bronze.nothing'\. Known: bronze\..*bronze\.drive_files"):
        platform.table("bronze.nothing")
    assert platform.table("bronze.ingestion_log") == INGESTION_LOG


def test_changed_settings_and_policies_are_seen_once_the_platform_forgets(platform: Fleet) -> None:
    before = platform.settings
    open_home(Path(platform.home)).with_depot("south").save()
    assert platform.settings is before
    platform.forget()
    assert list(platform.settings.depots) == ["main", "south"]


def test_a_platform_without_the_grant_cannot_open_raw_recordings(tmp_path: Path) -> None:
    with pytest.raises(AccessDeniedError):
        Fleet(home=str(tmp_path)).objects.exists("a" * 64, "raw")


@pytest.mark.parametrize("bucket", ["", "mine"])
def test_a_platform_without_the_grant_is_handed_no_landing_zone(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(AccessDeniedError, match=r"landing zone.*'raw'.*granted: open.*class open"):
        _ = Fleet(home=str(tmp_path), bucket=bucket, endpoint_url="http://127.0.0.1:1").landing


def test_a_bucket_moves_objects_and_landing_zone_to_s3(tmp_path: Path) -> None:
    platform = Fleet(home=str(tmp_path), granted=["raw"], bucket="mine", endpoint_url="http://127.0.0.1:1")
    assert isinstance(platform.objects, S3Objects)
    assert isinstance(platform.landing, S3Landing)
    assert platform.objects.granted == ("raw",)


def test_today_is_the_last_day_unless_a_test_or_a_replay_says_otherwise(tmp_path: Path) -> None:
    assert Fleet(home=str(tmp_path), today="2024-05-03").last_day == "2024-05-03"
    assert Fleet(home=str(tmp_path)).last_day > "2026"


def test_sql_sees_every_table_also_those_that_were_never_written(platform: Fleet) -> None:
    for name in platform.tables:
        assert query(platform, f"select count(*) as n from {name}") == [{"n": 0}]  # noqa: S608 - our own table names
    assert query(platform, "select status from bronze.drive_status") == []


def test_sql_gives_rows_as_they_are(platform: Fleet) -> None:
    entry = platform.lake.stage(LANDING_QUARANTINE, (), "landing", "0" * 24, LANDING_QUARANTINE.from_rows([REFUSED]))
    platform.lake.commit(LANDING_QUARANTINE, [entry])
    assert query(platform, "select * from landing.quarantine") == [REFUSED]
    assert query(platform, "select upload from landing.quarantine where rule = 'nothing'") == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select nothing from bronze.drives", "nothing"),
        ("select * from bronze.nothing", "nothing"),
        ("selec 1", "syntax error"),
        ("select * from read_csv('secret.csv')", "disabled"),
        ("copy bronze.drives to 'stolen.csv'", "disabled"),
        ("set enable_external_access = true", "while database is running|locked|Cannot change"),
    ],
)
def test_sql_that_is_wrong_or_reaches_outside_is_refused_in_duckdbs_words(
    platform: Fleet, sql: str, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        query(platform, sql)


def test_a_statement_without_rows_gives_none(platform: Fleet) -> None:
    assert query(platform, "create temp table t as select 1 as x where false") in ([], [{"Count": 0}])

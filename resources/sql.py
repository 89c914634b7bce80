"""SQL for people: DuckDB over the same data files, every table a view, nothing copied."""

from collections.abc import Iterator
from typing import Any

from fleet_assets.provenance.objects import RAW
from resources.platform import Fleet

_DRIVE_STATUS = """
create view bronze.drive_status as
select d.* replace (
    case when d.status = 'rejected' then 'rejected'
         when q.drive_id is not null then 'quarantined'
         when s.drive_id is not null then 'clean'
         else 'landed' end as status,
    coalesce(d.reason, q.reason) as reason)
from bronze.drives d
left join (
    select drive_id,
           string_agg(
               rule || ': ' || value || ' (allowed: ' || "limit" || '). ' || remedy, '; ' order by rule
           ) as reason
    from bronze.quarantine where scope = 'drive' and released_by is null group by drive_id
) q using (drive_id)
left join (select distinct drive_id from silver.clips) s using (drive_id)
"""


class QueryError(ValueError):
    """SQL that DuckDB refuses; the message is DuckDB's own."""


def _connection(fleet: Fleet) -> Any:
    import duckdb

    connection = duckdb.connect(":memory:")
    for name, table in fleet.tables.items():
        layer, short = table.key
        connection.execute(f'create schema if not exists "{layer}"')
        if table.personal and RAW not in fleet.granted:
            continue
        connection.register(f"_{layer}_{short}", fleet.lake.dataset(fleet.tables[name]))
        view = f'create view "{layer}"."{short}" as select * from "_{layer}_{short}"'  # noqa: S608 - our own table names
        connection.execute(view)
    connection.execute(_DRIVE_STATUS)
    connection.execute("set enable_external_access = false")
    return connection


def query(fleet: Fleet, sql: str) -> list[dict[str, Any]]:
    """Rows of a query as dictionaries.

    Raises:
        QueryError: With DuckDB's message.
    """
    return list(_rows(fleet, sql))


def _rows(fleet: Fleet, sql: str) -> Iterator[dict[str, Any]]:
    import duckdb

    connection = _connection(fleet)
    try:
        relation = connection.sql(sql)  # None for a statement without rows
        yield from relation.to_arrow_table().to_pylist() if relation is not None else ()
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    finally:
        connection.close()

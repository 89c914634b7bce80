"""Predicates of mining requests: one SQL expression per condition, true or false of a clip, and nothing else.

What may be written is decided on DuckDB's own syntax tree, before anything runs: tables that the policy names,
functions that it lists, and subqueries of these. The engine itself has no files, no network and a limit of memory and
time.
"""

import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.mining.scenario_mining.requests import InvalidMiningRequestError

ROWS: Final = "clips"
"""The relation whose rows are judged."""
_KEY: Final = "clip_id"
_CLASSES: Final = frozenset({
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "OPERATOR",
    "STAR", "SUBQUERY",
})  # fmt: skip
"""Kinds of expressions; windows, parameters, lambdas and what DuckDB may add are none of them."""
_SOURCES: Final = frozenset({
    "COLUMN_DATA", "CTE_NODE", "DELIM_GET", "EXPRESSION_LIST", "PIVOT", "RECURSIVE_CTE_NODE", "SET_OPERATION_NODE",
    "SHOW_REF", "TABLE_FUNCTION",
})  # fmt: skip
"""What a subquery may not read from."""


def check_predicate(
    expression: str, place: str, relations: Mapping[str, Collection[str]], functions: Sequence[str]
) -> None:
    """Refuse what is no single expression over the policy's relations.

    Args:
        expression: SQL, from anybody.
        place: Name used in errors.
        relations: Columns of the relations that it may read, by relation.
        functions: Functions that it may call.

    Raises:
        InvalidMiningRequestError: Naming what is not allowed, and what is.
    """
    parsed = json.loads(_tree(_statement(expression)))
    if parsed["error"]:
        raise InvalidMiningRequestError(
            f"{place}: {expression!r} is no SQL expression: {parsed['error_message']}. Write one condition over "
            f"{ROWS}, e.g. light_condition = 'night'."
        )
    for node in [found["node"] for found in parsed["statements"]]:
        is_ours = node["type"] == "SELECT_NODE" and len(node["select_list"]) == 1 and not _clauses(node)
        if not is_ours or len(parsed["statements"]) != 1 or node["from_table"].get("table_name") != ROWS:
            raise InvalidMiningRequestError(f"{place}: {expression!r} is more than one condition. Write one.")
    for found in _objects(parsed["statements"]):
        if said := _refused(found, relations, functions):
            raise InvalidMiningRequestError(f"{place}: {expression!r} {said}")


def _statement(expression: str) -> str:
    return f"SELECT (\n{expression}\n) AS keep FROM {ROWS}"  # noqa: S608 - only parsed


_SEALED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "1",
}


@lru_cache(maxsize=256)
def _tree(sql: str) -> str:
    import duckdb

    with duckdb.connect(":memory:", config=_SEALED) as connection:
        return str(connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])


def _clauses(node: Mapping[str, Any]) -> bool:
    """Whether a selection has anything besides its list and its table."""
    own = (node[key] for key in ("where_clause", "having", "sample", "qualify"))
    return any(own) or bool(node["modifiers"] or node["group_expressions"] or node["cte_map"]["map"])


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object of a tree."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def _refused(node: Mapping[str, Any], relations: Mapping[str, Collection[str]], functions: Sequence[str]) -> str:
    """What is wrong with one object of the tree; empty when nothing is."""
    kind = node.get("type") if isinstance(node.get("type"), str) else ""
    named = str(kind).lower().replace("_", " ")
    if "class" in node and node["class"] not in _CLASSES:
        return f"has a {named}, which is not allowed. Use plain conditions."
    if node.get("class") == "FUNCTION" and not _is_listed(node, "function_name", "schema", "catalog", functions):
        return f"calls {node['function_name']}(), which is not allowed. Functions: {', '.join(functions)}."
    if "table_name" in node and not _is_listed(node, "table_name", "schema_name", "catalog_name", [*relations]):
        return f"reads {node['table_name']!r}, which is not allowed. Tables: {', '.join(relations)}."
    if node.get("class") == "COLUMN_REF" and not _is_column(node["column_names"], relations):
        return (
            f'names {node["column_names"][0]!r}, which is no column. `fleet sql "describe silver.clip_catalog"` helps.'
        )
    if kind in _SOURCES or any(node.get(key) for key in ("sample", "at_clause")) or node.get("cte_map", {}).get("map"):
        return f"reads more than a table{f' ({named})' if kind in _SOURCES else ''}, which is not allowed."
    return ""


def _is_listed(node: Mapping[str, Any], name: str, schema: str, catalog: str, listed: Sequence[str]) -> bool:
    return node[name].lower() in listed and not node[schema] and not node[catalog]


def _is_column(names: Sequence[str], relations: Mapping[str, Collection[str]]) -> bool:
    """Whether it is one: a bare name that is none may be the time of day."""
    return len(names) > 1 or any(names[0].lower() in columns for columns in relations.values())


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """One relation of several tables: the rows of the first, with what the others say of the same clip.

    Args:
        tables: Tables with `clip_id`, unique in all but a sole one.
    """
    found = tables[0]
    for other in tables[1:]:
        further = [name for name in other.column_names if name not in found.column_names]
        found = found.join(other.select([_KEY, *further]), _KEY, join_type="left outer")
    return found


class Judge:
    """Tells for predicates which clips fulfil them.

    Args:
        relations: Rows by relation; `clips` lists the clips.
        functions: Functions that predicates may call.
        memory_mb: Memory of the engine.
        seconds: Time after which a predicate is given up.
    """

    def __init__(
        self, relations: Mapping[str, pa.Table], functions: Sequence[str], *, memory_mb: int, seconds: float
    ) -> None:
        self._relations, self._functions = relations, functions
        self._memory_mb, self._seconds = memory_mb, seconds

    def __call__(self, expression: str, place: str) -> NDArray[np.bool_]:
        """Whether each clip fulfils a predicate, bool[n], in the order of the relation; what is unknown does not.

        Args:
            expression: SQL, from anybody.
            place: Name used in errors.

        Raises:
            InvalidMiningRequestError: When it is not allowed, or fails on these rows.
        """
        import duckdb

        columns = {name: rows.column_names for name, rows in self._relations.items()}
        check_predicate(expression, place, columns, self._functions)
        limit = threading.Timer(self._seconds, self._connection.interrupt)
        limit.start()
        try:
            # The key is added here, so that an expression over all rows fails rather than answers for none.
            sql = f"SELECT {ROWS}.{_KEY}, CAST((\n{expression}\n) AS BOOLEAN) FROM {ROWS}"  # noqa: S608 - checked above
            rows = self._connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            said = str(error).splitlines()[0]
            raise InvalidMiningRequestError(f"{place}: {expression!r} cannot be answered: {said}") from error
        finally:
            limit.cancel()
        fulfilled = {key.as_py() for key, holds in zip(*rows.columns, strict=True) if holds.as_py()}
        keys = self._relations[ROWS][_KEY]
        return np.fromiter((key.as_py() in fulfilled for key in keys), dtype=np.bool_, count=len(keys))

    @cached_property
    def _connection(self) -> Any:
        """An engine that holds the relations and can reach nothing else."""
        import duckdb

        connection = duckdb.connect(":memory:", config={**_SEALED, "memory_limit": f"{self._memory_mb}MB"})
        for name, rows in self._relations.items():
            connection.register(f"_{name}", rows)
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _{name}")  # noqa: S608 - names of the policy
            connection.unregister(f"_{name}")
        connection.execute("SET lock_configuration = true")
        return connection

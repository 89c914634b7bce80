"""`fleet search`: clips by words, phrases and fields, ranked."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from fleet_assets.commands.session import DONE, WRONG_USE, Session, fleet_command, table_text

if TYPE_CHECKING:
    from resources.search_index import Hits

_COLUMNS: Final = ("clip", "day", "depot", "vehicle", "light", "speed", "tags", "has")
_ADDRESSES: Final = ("signals_uri", "media_uris", "keyframe_uris", "lidar_uris")


# What begins with one dash is a word to leave out; -h would be found in every such word.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(min=1), help="Results of a page; default from policies/catalog.yaml.")
@click.option("--page", type=click.IntRange(min=1), default=1, show_default=True, help="Which page.")
@click.option("--uris", is_flag=True, help="Also print where each clip's bytes are, and its dataset version.")
@fleet_command
def search(session: Session, words: tuple[str, ...], *, limit: int | None, page: int, uris: bool) -> int:
    r"""Find clips by words and fields, best match first; without words the newest first.

    Words rank the clips that have any of them, "a phrase" must occur, -word must not. A field narrows down:
    name:value, name:one,other, name>number, name>=number, -name:value. Fields are in policies/catalog.yaml,
    among them tag, has, light, depot, day, vehicle, drive, cell, speed (m/s), deceleration, distance.

    \b
    Example:
      fleet search "night rain hard brake"
      fleet search 'brake tag:night speed>20 has:lidar' --limit 5 --uris
      fleet search depot:north 'day>=2024-05-01' -tag:parked
    """
    from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import query_fields
    from fleet_assets.policy.search_query import BadQueryError, parse_query
    from resources.search_index import NoIndexError

    if words == ("-h",):
        click.echo(click.get_current_context().get_help())
        return DONE
    if unknown := [word for word in words if word.startswith("--")]:
        raise click.UsageError(f"no option {unknown[0]}. Options: --limit, --page, --uris, --json, --home, --help.")
    policy = session.fleet.policies["catalog"]
    bounds = policy["search"]
    limit = limit or bounds["page"]
    try:
        _check_page(limit, page, bounds)
        query = parse_query(" ".join(words), query_fields(policy))
        hits = session.fleet.search_index.search(
            query, limit=limit, offset=limit * (page - 1), deepest=bounds["deepest"]
        )
    except (BadQueryError, NoIndexError) as error:
        click.echo(f"fleet: {error}", err=True)
        return WRONG_USE
    session.answer(_document(hits, page), lambda: _text(hits, limit, page, sorted(policy["tags"]), uris=uris))
    return DONE


def _check_page(limit: int, page: int, bounds: Mapping[str, int]) -> None:
    """Refuse pages that are too long, or beyond what is ranked.

    Raises:
        BadQueryError: Naming the bound and what to do.
    """
    from fleet_assets.policy.search_query import BadQueryError

    if limit > bounds["most"]:
        raise BadQueryError(f"--limit {limit} is more than {bounds['most']}. Turn pages with --page, or use fleet sql.")
    if limit * page > bounds["deepest"]:
        raise BadQueryError(
            f"page {page} of {limit} lies beyond the {bounds['deepest']} best results. Narrow the query down."
        )


def _document(hits: "Hits", page: int) -> dict[str, Any]:
    """The answer as JSON: addresses as lists."""
    results = [
        {**row, **{name: (row[name] or "").split() for name in _ADDRESSES if name != "signals_uri"}}
        for row in hits.rows
    ]
    return {"matches": hits.matches, "at_least": hits.is_more, "page": page, "results": results}


def _text(hits: "Hits", limit: int, page: int, tags: list[str], *, uris: bool) -> str:
    if not hits.rows:
        ended = f"page {page} is beyond the last of {hits.matches} clips" if hits.matches else "no clip matches"
        return ended if hits.matches else f"{ended}. Tags: {', '.join(tags)}."
    rows = [_row(row) for row in hits.rows]
    ranked = "score" in hits.rows[0]
    lines = [table_text(rows, (*(("score",) if ranked else ()), *_COLUMNS))]
    if uris:
        lines += [_addresses(row) for row in hits.rows]
    first = limit * (page - 1) + 1
    of = f"{hits.matches}{' or more' if hits.is_more else ''}"
    further = f"; --page {page + 1} shows more" if first + len(rows) - 1 < hits.matches else ""
    return "\n".join([*lines, f"clips {first} to {first + len(rows) - 1} of {of}{further}"])


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    speed = row["speed_max_mps"]
    return {
        "score": f"{row['score']:.2f}" if "score" in row else None,
        "clip": row["clip_id"],
        "day": row["day"],
        "depot": row["depot"],
        "vehicle": row["vehicle_id"],
        "light": row["light_condition"],
        "speed": None if speed is None else f"{speed:.1f}",
        "tags": " ".join(row["tags"]),
        "has": " ".join(row["has"]),
    }


def _addresses(row: Mapping[str, Any]) -> str:
    addresses = [address for name in _ADDRESSES for address in (row[name] or "").split()]
    return "\n".join([f"{row['clip_id']}  dataset {row['dataset_version']}", *(f"  {one}" for one in addresses)])

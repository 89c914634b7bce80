"""`fleet similar`: more like this clip, or like these words."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fleet_assets.commands.session import DONE, WRONG_USE, Session, existing_path, fleet_command, table_text

if TYPE_CHECKING:
    from fleet_assets.mining.embeddings_and_vector_index.similar import Similar
    from fleet_assets.perception.neighbours import Neighbour

_COLUMNS: Final = ("cosine", "clip", "drive", "day", "depot", "start")
_NS_PER_S: Final = 1_000_000_000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("clip", required=False)
@click.option("--words", help="Words to look for, in place of a clip.")
@click.option("--modality", help="What is compared: image, trajectory, text; default: the first that the clip has.")
@click.option("--model", help="Model, or first digits of its digest, where there are vectors of several.")
@click.option("-k", "count", type=click.IntRange(min=1), help="Clips wanted; default from policies/embeddings.yaml.")
@click.option("--index-version", "version", type=click.IntRange(min=1), help="A kept state of the index; default: now.")
@click.option("--html", "html", type=click.Path(dir_okay=False, path_type=Path), help="Write a contact sheet there.")
@fleet_command
def similar(
    session: Session,
    clip: str | None,
    *,
    words: str | None,
    modality: str | None,
    model: str | None,
    count: int | None,
    version: int | None,
    html: Path | None,
) -> int:
    r"""Find more like a clip: the nearest ones by picture, motion or description; cosine 1 is the same.

    The contact sheet is one HTML file with redacted pictures and the course of the speed.

    \b
    Example:
      fleet similar demo-3-0001
      fleet similar demo-3-0001 --modality trajectory -k 20 --html more.html
      fleet similar --words "hard braking at night in rain" --json
    """
    from fleet_assets.mining.embeddings_and_vector_index.similar import (
        UnknownClipError,
        UnknownModalityError,
        similar_to_clip,
        similar_to_words,
    )
    from fleet_assets.perception.neighbours import NoIndexError

    fleet, policy = session.fleet, session.fleet.policies["embeddings"]
    count = count or policy["similar"]["count"]
    if (clip is None) == (words is None):
        raise click.UsageError("name a clip or give --words, one of them.")
    if words is not None and modality not in {None, policy["words"]["modality"]}:
        raise click.UsageError(f"--words are compared by {policy['words']['modality']} only; leave out --modality.")
    if count > policy["similar"]["most"]:
        raise click.UsageError(
            f"-k {count} is more than {policy['similar']['most']}, the most in the policy embeddings."
        )
    try:
        if words is not None:
            found = similar_to_words(fleet.vectors, policy, words, count, fleet.weights, model=model, version=version)
        else:
            found = similar_to_clip(
                fleet.vectors, policy, str(clip), count, modality=modality, model=model, version=version
            )
    except (NoIndexError, UnknownClipError, UnknownModalityError) as error:
        click.echo(f"fleet: {error}", err=True)
        return WRONG_USE
    if html is not None:
        _write_page(session, existing_path(str(html)), found, is_clip=words is None)
    session.answer(_document(found), lambda: _text(found))
    return DONE


def _document(found: "Similar") -> dict[str, Any]:
    space = found.version.space
    return {
        "query": found.query,
        "modality": space.modality,
        "model": space.model,
        "model_digest": space.model_digest,
        "index": {"version": found.version.number, "root": found.version.root, "clips": found.version.clips},
        "results": [
            {"clip_id": one.clip_id, "cosine": one.cosine, "drive_id": one.drive_id, "day": one.day, "depot": one.depot,
             "start_ns": one.start_ns, "end_ns": one.end_ns}
            for one in found.neighbours
        ],
    }  # fmt: skip


def _text(found: "Similar") -> str:
    space = found.version.space
    told = f"by {space.modality} ({space.model}), of {found.version.clips} clips, index version {found.version.number}"
    rows = [_row(one) for one in found.neighbours]
    return "\n".join([table_text(rows, _COLUMNS), told]) if rows else f"no other clip {told}"


def _row(one: "Neighbour") -> dict[str, Any]:
    from datetime import UTC, datetime

    start = datetime.fromtimestamp(one.start_ns // _NS_PER_S, tz=UTC)
    return {
        "cosine": f"{one.cosine:.3f}",
        "clip": one.clip_id,
        "drive": one.drive_id,
        "day": one.day,
        "depot": one.depot,
        "start": start.strftime("%H:%M:%S"),
    }


def _write_page(session: Session, target: Path, found: "Similar", *, is_clip: bool) -> None:
    from fleet_assets.mining.embeddings_and_vector_index.sheets import Cards, page

    fleet, space = session.fleet, found.version.space
    cards = Cards(fleet.lake, fleet.tables, fleet.objects, fleet.policies["embeddings"])
    query = None
    if is_clip:
        query = cards.of(fleet.vectors.placed(space, [found.query])[found.query], is_query=True)
    heading = f"Most like {found.query} by {space.modality}"
    target.write_text(page(heading, query, [cards.of(one) for one in found.neighbours]), encoding="utf-8")
    session.say(f"contact sheet: {target}")

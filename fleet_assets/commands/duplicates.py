"""`fleet duplicates`: clips that are nearly the same."""

from typing import Any, Final

import click

from fleet_assets.commands.session import DONE, WRONG_USE, Session, fleet_command, table_text

_COLUMNS: Final = ("cosine", "first", "second")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--modality", help="What is compared: image, trajectory, text; default: image where there are vectors of it."
)
@click.option("--model", help="Model, or first digits of its digest, where there are vectors of several.")
@click.option(
    "--cosine",
    "least_cosine",
    type=click.FloatRange(min=0.0, max=1.0, min_open=True),
    help="Pairs at least so alike; default from policies/embeddings.yaml (gates/duplicates/cosine).",
)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Pairs shown; all are counted."
)
@fleet_command
def duplicates(
    session: Session, *, modality: str | None, model: str | None, least_cosine: float | None, limit: int
) -> int:
    r"""Find all pairs of clips that are nearly the same; the most alike first.

    Every clip is compared with every other one, exactly; vectors are not held in memory, however many there are.

    \b
    Example:
      fleet duplicates
      fleet duplicates --modality trajectory --cosine 0.9999 --json
    """
    from fleet_assets.mining.embeddings_and_vector_index.similar import UnknownModalityError, duplicate_clips
    from fleet_assets.perception.neighbours import NoIndexError

    fleet, policy = session.fleet, session.fleet.policies["embeddings"]
    least = policy["gates"]["duplicates"]["cosine"] if least_cosine is None else least_cosine
    try:
        found = duplicate_clips(fleet.vectors, policy, least, limit, modality=modality, model=model)
    except (NoIndexError, UnknownModalityError) as error:
        click.echo(f"fleet: {error}", err=True)
        return WRONG_USE
    space = found.version.space
    rows: list[dict[str, Any]] = [
        {"cosine": one.cosine, "first": one.first, "second": one.second} for one in found.best
    ]
    document = {
        "modality": space.modality, "model": space.model, "model_digest": space.model_digest,
        "index": {"version": found.version.number, "root": found.version.root, "clips": found.version.clips},
        "least_cosine": least, "pairs": found.pairs, "clips": found.clips, "results": rows,
    }  # fmt: skip
    pairs = f"{found.pairs} {'pair' if found.pairs == 1 else 'pairs'}"
    told = (
        f"{pairs} of at least {least:g} among {found.version.clips} clips by {space.modality} ({space.model}); "
        f"{found.clips} clips are in some pair"
    )
    shown = [{**row, "cosine": f"{row['cosine']:.6f}"} for row in rows]
    session.answer(document, lambda: "\n".join([table_text(shown, _COLUMNS), told]) if shown else told)
    return DONE

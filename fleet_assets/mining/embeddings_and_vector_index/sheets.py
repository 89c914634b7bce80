"""Contact sheets: what a person looks at to see whether clips are alike. Pictures are redacted keyframes.

Here belong the cards of clips, the page for a browser and the picture for Dagster.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.evidence.plots import figure, png, title
from fleet_assets.perception.neighbours import Neighbour
from fleet_assets.provenance.ledger import LakeTables
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.tables import Table

KEYFRAMES, SIGNALS, CATALOG = "silver.keyframes", "silver.signals", "silver.clip_catalog"
COLUMNS: Final = 6
_THUMBNAIL_PX: Final = 240
_LINE: Final = (240, 60)
_STYLE: Final = (
    "body{font:14px sans-serif;margin:1.5em;background:#fafafa}section{display:flex;flex-wrap:wrap;gap:12px}"
    "article{background:#fff;border:1px solid #ddd;padding:8px;width:256px}article.query{border:2px solid #4477aa}"
    "img,svg{width:240px;display:block;margin-bottom:4px}code{font-size:11px;word-break:break-all}"
    "p{margin:4px 0;color:#555}"
)


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """What is shown of a clip.

    Attributes:
        clip_id: The clip.
        cosine: Likeness to what was asked for; None for that itself.
        caption: Its tags, or what else there is to say in a few words.
        jpegs: Redacted pictures.
        speed: float64[n], its speed over time, where there is one.
    """

    clip_id: str
    cosine: float | None
    caption: str
    jpegs: tuple[bytes, ...]
    speed: NDArray[np.float64] | None


@dataclass(frozen=True)
class Cards:
    """Makes cards of clips.

    Attributes:
        lake: The lake.
        tables: All tables by dotted name.
        objects: Open objects.
        policy: The document `embeddings`.
    """

    lake: LakeTables
    tables: Mapping[str, Table]
    objects: ObjectStore
    policy: Mapping[str, Any]

    def of(self, clip: Neighbour, *, is_query: bool = False) -> Card:
        """The card of one clip.

        Args:
            clip: The clip, and where it lies.
            is_query: Whether it is what was asked for.
        """
        told = self._rows(CATALOG, clip, ["clip_id", "tags", "light_condition"])
        caption = " ".join(told["tags"].to_pylist()[:1]) if told.num_rows else ""
        return Card(
            clip.clip_id,
            None if is_query else clip.cosine,
            caption.replace("_", " "),
            self._jpegs(clip),
            self._speed(clip),
        )

    def _rows(self, name: str, clip: Neighbour, columns: Sequence[str]) -> pa.Table:
        table = self.tables[name]
        entries = [one for one in self.lake.entries(table, (clip.day, clip.depot)) if one.unit == clip.drive_id]
        rows = self.lake.read(table, entries, columns)
        return rows.filter(pc.equal(rows["clip_id"], clip.clip_id))

    def _jpegs(self, clip: Neighbour) -> tuple[bytes, ...]:
        import pyarrow.parquet as pq

        rows = self._rows(KEYFRAMES, clip, ["clip_id", "t_ns", "sha256", "shard_row"]).to_pylist()
        most = self.policy["similar"]["pictures"]
        places = sorted({int(at) for at in np.linspace(0, len(rows) - 1, min(most, len(rows)))}) if rows else []
        return tuple(
            pq.read_table(self.objects.local(rows[at]["sha256"], "open"), columns=["jpeg"])["jpeg"][
                rows[at]["shard_row"]
            ].as_py()
            for at in places
        )

    def _speed(self, clip: Neighbour) -> NDArray[np.float64] | None:
        first = next(iter(self.policy["motion"]["channels"].values()))
        there = set(self.tables[SIGNALS].arrow_schema.names)
        names = [one["signal"] for one in first["of"] if one["signal"] in there]
        rows = self._rows(SIGNALS, clip, ["clip_id", *names])
        known = [pc.cast(rows[name], pa.float64()).to_numpy() for name in names]
        return next((values for values in known if np.isfinite(values).any()), None)


def page(heading: str, query: Card | None, cards: Sequence[Card]) -> str:
    """A contact sheet as one HTML file that needs nothing else.

    Args:
        heading: What was asked for, and of what.
        query: The clip that was asked for, if it was one.
        cards: What was found, best first.
    """
    told = [_article(card, "query" if card is query else "") for card in ([query] if query else []) + list(cards)]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(heading)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(heading)}</h1><section>{''.join(told)}</section></html>\n"
    )


def _article(card: Card, kind: str) -> str:
    pictures = "".join(
        f'<img alt="redacted keyframe" src="data:image/jpeg;base64,{base64.b64encode(_thumbnail(jpeg)).decode()}">'
        for jpeg in card.jpegs
    )
    line = "" if card.speed is None else _svg(card.speed)
    likeness = "what was asked for" if card.cosine is None else f"cosine {card.cosine:.3f}"
    return (
        f'<article class="{kind}">{pictures}{line}<code>{escape(card.clip_id)}</code>'
        f"<p>{likeness}</p><p>{escape(card.caption)}</p></article>"
    )


def _thumbnail(jpeg: bytes) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        image.draft("RGB", (_THUMBNAIL_PX, _THUMBNAIL_PX))
        small = image.convert("RGB")
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    sink = io.BytesIO()
    small.save(sink, format="JPEG", quality=80)
    return sink.getvalue()


def _svg(values: NDArray[np.float64]) -> str:
    """Speed over time as a line; the scale begins at standstill."""
    width, height = _LINE
    known = np.flatnonzero(np.isfinite(values))
    top = max(1.0, float(values[known].max()))
    points = " ".join(
        f"{width * at / max(1, len(values) - 1):.1f},{height - height * max(0.0, values[at]) / top:.1f}" for at in known
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="speed, up to {top:.1f} m/s">'
        f'<polyline points="{points}" fill="none" stroke="#4477aa" stroke-width="1.5"/></svg>'
    )


def picture(rows: Sequence[tuple[Card, Sequence[Card]]]) -> bytes | None:
    """Clips, each followed by those most like it, as a PNG; None where there are none.

    Args:
        rows: Clip and neighbours, best first.
    """
    if not rows:
        return None
    plot, _ = figure(height=0.5 + 1.3 * len(rows))
    plot.clear()
    for number, (seed, found) in enumerate(rows):
        for place, card in enumerate([seed, *found][:COLUMNS]):
            axes = plot.add_subplot(len(rows), COLUMNS, number * COLUMNS + place + 1)
            _draw(axes, card)
    plot.subplots_adjust(
        left=0.01, right=0.99, bottom=0.01, top=1 - 0.45 / plot.get_figheight(), hspace=0.3, wspace=0.04
    )
    title(plot, "clips, and to their right those most like them")
    return png(plot)


def _draw(axes: Any, card: Card) -> None:
    from PIL import Image

    if card.jpegs:
        axes.imshow(np.asarray(Image.open(io.BytesIO(_thumbnail(card.jpegs[len(card.jpegs) // 2])))))
    elif card.speed is not None:
        axes.plot(card.speed, color="#4477aa", linewidth=0.8)
        axes.set_ylim(bottom=min(0.0, float(np.nanmin(card.speed))))
    likeness = "" if card.cosine is None else f" {card.cosine:.2f}"
    axes.set_title(f"{card.clip_id[-16:]}{likeness}", fontsize=5, pad=2)
    axes.set_axis_off()

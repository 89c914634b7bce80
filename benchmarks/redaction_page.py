"""The page about what redaction covers and what it leaves alone, from the results of `redaction_study.py`.

It has two parts, the real recordings and the simulated drives, each marked with what decides about its results. A part
whose policies are still in force stays as it is while the other one is made anew.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.redaction_real import PARTS
from benchmarks.redaction_simulated import (
    COVERED,
    EVERY,
    FIFTH,
    LEAST_FACING,
    LEAST_VISIBLE,
    LEAST_WIDTH_PX,
    PICTURES,
    RATE_HZ,
    SEARCHES,
    SHIPPED,
)
from fleet_assets.evidence.bootstrap import cluster_bootstrap
from fleet_assets.evidence.intervals import Interval, clopper_pearson

SIGNS_UNTOUCHED, STILLS_BLURRED, LOST_BY_FEWER = 0.98, 0.05, 0.01
_SEED: Final = 5
_WIDTHS: Final[Mapping[str, Sequence[tuple[float, float]]]] = {
    "face": ((12, 16), (16, 24), (24, 1e9)),
    "plate": ((20, 30), (30, 50), (50, 1e9)),
}
_NAMES: Final[Mapping[str, str]] = {
    **{f"signs_{part}": f"road-sign photos, part {part + 1} of {PARTS}" for part in range(PARTS)},
    "stills": "highway stills",
    "dash_video": "dash video",
    "gopro_video": "GoPro video",
}


JUDGED: Final[Mapping[str, str]] = {}
"""Crops of confirmed hits that a person looked at, and what they show."""
SEEN_SINCE: Final = (
    "Photo `road374` (part 4, picture 36) is of the half that was not looked at before. An auditor before this one had "
    "confirmed sky between its branches; it was looked at then, and whose face a hit can be (`bearer` in `audit.yaml`) "
    "was limited because of it. For redaction it is unseen as before, for the auditor it is not any more."
)


REAL, SIMULATED = "real", "simulated"
_TITLES: Final[Mapping[str, str]] = {REAL: "Real pictures", SIMULATED: "Simulated pictures against their truth"}
_LAST: Final = "Made by"
_PART: Final = re.compile(rf"<!-- (\w+): policies (\w+) -->\n\n(.*?)\n\n(?=<!-- |{_LAST})", re.DOTALL)


def page(policy: Mapping[str, Any], parts: Mapping[str, tuple[str, str]]) -> str:
    """The page of the documentation.

    Args:
        policy: The document `redaction` in force.
        parts: By kind the digest of the policies that decide about a part, and its text.
    """
    marked = [
        line for kind, (key, text) in parts.items() for line in (f"<!-- {kind}: policies {key} -->", "", text, "")
    ]
    return "\n".join([*_head(policy), "", *marked, _made(), ""])


def parts_of(text: str) -> dict[str, tuple[str, str]]:
    """The parts of a page as `page` wants them."""
    return {kind: (key, body) for kind, key, body in _PART.findall(text)}


def part(kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The text of one part.

    Args:
        kind: `REAL` or `SIMULATED`.
        rows: Results that are there.
    """
    lines = {REAL: _real, SIMULATED: _simulated}[kind](rows) if rows else ["Not studied under these policies yet."]
    return "\n".join([f"## {_TITLES[kind]}", "", *lines])


def _head(policy: Mapping[str, Any]) -> list[str]:
    search = policy["search"]
    return [
        "# What redaction covers, and what it leaves alone",
        "",
        f"Policies as shipped: every {search['every_frames']}th picture is searched, and as many more that none is "
        f"further than {search['most_gap_ms']} ms from the last; where something is seen in only one of two searched "
        "pictures, the one in the middle between them, too; tracks say where things are in between. Limits were set on "
        "simulated seeds below 1000 and on every second block of ten road-sign photos; the other half of the photos is "
        "reported apart. The simulated drives are of seeds that were not looked at before.",
    ]


def _made() -> str:
    return (
        f"{_LAST} `python -m benchmarks.redaction_study FOLDER`, then the same with `--write`; with `--only`, the "
        "other part stays as it is."
    )


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.4f}" if whole else "–"


def _real(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tables of the real recordings."""
    lines = ["`fleet ingest`, ticks, redaction, audit; nothing is skipped.", ""]
    lines += ["| recording | pictures | redacted | covered areas | share of picture covered | most in one picture |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in rows:
        most = max(row["blurred_by_frame"].values(), default=0.0)
        lines.append(
            f"| {_NAMES[row['name']]} | {row['source_frames']} | {row['frames']} | {row['boxes']} | "
            f"{row['blurred_share']:.2%} | {most:.2%} |"
        )
    by_name = {row["name"]: row for row in rows}
    if waiting := [name for key, name in _NAMES.items() if key not in by_name]:
        lines += ["", f"Not studied under these policies yet: {', '.join(waiting)}."]
    return [
        *lines,
        *_signs([one for row in rows for one in row.get("signs", [])]),
        *_stills(by_name.get("stills")),
        *_timing(rows),
        *_audit(rows),
    ]


def _signs(photos: Sequence[Mapping[str, Any]]) -> list[str]:
    if not photos:
        return []
    groups: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        "all": lambda _: True,
        "not looked at before": lambda one: not one["tuned"],
        "looked at before": lambda one: one["tuned"],
    }
    lines = ["", f"Labelled signs, asked is that {SIGNS_UNTOUCHED:.0%} of their area stays as it is:", ""]
    lines += ["| photos | number | area, pixels | untouched | photos with more than half of their signs covered |"]
    lines += ["|---|---|---|---|---|"]
    for name, wanted in groups.items():
        ones = [one for one in photos if wanted(one)]
        area, hit = sum(one["area"] for one in ones), sum(one["hit"] for one in ones)
        lost = sum(one["hit"] > one["area"] / 2 for one in ones)
        high = clopper_pearson(lost, len(ones), 0.95).high
        lines.append(f"| {name} | {len(ones)} | {area} | {_share(area - hit, area)} | {lost} (at most {high:.1%}) |")
    return lines


def _stills(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return []
    return [
        "",
        f"The stills show no people; of all their pixels {row['blurred_share']:.2%} are covered, asked are at most "
        f"{STILLS_BLURRED:.0%}.",
    ]


def _timing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"- {_NAMES[row['name']]}: {row['timing']['frames'][0]} frames before, {row['timing']['frames'][1]} after; "
        + (
            f"their times differ by at most {row['timing']['largest_difference_s'] * 1e6:.3f} µs"
            if row["timing"]["largest_difference_s"] is not None
            else "so that times cannot be compared"
        )
        for row in rows
        if "timing" in row
    ]
    return ["", "Videos, by PyAV's demultiplexer:", "", *lines] if lines else []


def _audit(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["", "The auditor, with other detectors, on what redaction wrote:", ""]
    lines += ["| recording | pictures looked at | hits | confirmed | released |", "|---|---|---|---|---|"]
    for row in rows:
        exposed = sum(hit["confirmed"] for hit in row["hits"])
        released = "yes" if row["audited"]["released"] else "no"
        lines.append(
            f"| {_NAMES[row['name']]} | {row['audited']['looked_at']} | {len(row['hits'])} | {exposed} | {released} |"
        )
    lines += ["", SEEN_SINCE]
    hits = [(_NAMES[row["name"]], hit) for row in rows for hit in row["hits"]]
    if confirmed := [one for one in hits if one[1]["confirmed"]]:
        lines += [
            "",
            "Every confirmed hit; it holds its recording until a person judges it, as was done here:",
            "",
        ]
        lines += _hits(confirmed, "why", ["judged"], lambda hit: [JUDGED.get(hit["crop_sha256"], "not looked at yet")])
    if questions := [one for one in hits if not one[1]["confirmed"]]:
        lines += ["", "Every hit that the second look did not confirm; its crop is the object of that digest:", ""]
        lines += _hits(questions, "why not")
    return lines


def _hits(
    hits: Sequence[tuple[str, Mapping[str, Any]]],
    why: str,
    more: Sequence[str] = (),
    told: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _: (),
) -> list[str]:
    """A table of hits of named recordings."""
    columns = ["recording", "picture", "detector", "score", why, "crop", *more]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for name, hit in hits:
        crop = f"`{(hit['crop_sha256'] or '')[:12]}`"
        cells = [name, str(hit["frame"]), hit["detector"], f"{hit['score']:.2f}", hit["why"], crop, *told(hit)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _simulated(drives: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tables of the simulated drives."""
    seeds = sorted(drive["seed"] for drive in drives)
    lost = [f"{drive['seed']}: {drive['no_drive']}" for drive in drives if "no_drive" in drive]
    drives = [drive for drive in drives if "no_drive" not in drive]
    lines = [
        f"{len(drives)} drives, seeds {seeds[0]} to {seeds[-1]}"
        + (f" (no drive: {' '.join(lost)})" if lost else "")
        + f", each {PICTURES} pictures of 640 × 360 at {RATE_HZ} Hz "
        "from the second with most road users ahead, in one of seven lights and weathers (day, dusk, night, rain, "
        "fog), with three people besides who walk across the view 3 to 10 m ahead. An item is a face or plate in one "
        f"picture, turned to the camera (cosine ≥ {LEAST_FACING:g}) and visible to {LEAST_VISIBLE:.0%} at least; it "
        f"counts as covered when {COVERED:.0%} of its box are. Intervals: bootstrap with drives as clusters, 95 %.", "",
        "| item | width, px | items | drives | covered, every picture searched | each fifth | as the policy says |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for kind, widths in _WIDTHS.items():
        for low, high in ((LEAST_WIDTH_PX[kind], 1e9), *widths):
            lines.append(_recall_row(drives, kind, low, high))
    return [*lines, *_by_sky(drives), *_lost(drives), *_cost(drives)]


def _wanted(drive: Mapping[str, Any], kind: str, low: float, high: float) -> list[int]:
    return [row for row, (what, _, width) in enumerate(drive["items"]) if what == kind and low <= width < high]


def _recall_row(drives: Sequence[Mapping[str, Any]], kind: str, low: float, high: float) -> str:
    width = f"≥ {low:g}" if high > 1e6 else f"{low:g} to {high:g}"  # noqa: PLR2004 - no upper end
    rows = [(drive, _wanted(drive, kind, low, high)) for drive in drives]
    count = sum(len(items) for _, items in rows)
    shown = [
        _with_interval(
            [sum(drive["covered"][search][row] >= COVERED for row in items) for drive, items in rows],
            [len(items) for _, items in rows],
        )
        for search in SEARCHES
    ]
    return f"| {kind} | {width} | {count} | {sum(bool(items) for _, items in rows)} | {' | '.join(shown)} |"


def _with_interval(parts: Sequence[float], wholes: Sequence[float]) -> str:
    if not sum(wholes):
        return "–"
    estimate = sum(parts) / sum(wholes)
    found = cluster_bootstrap(parts, wholes, confidence=0.95, seed=_SEED)
    if isinstance(found, Interval):
        return f"{estimate:.3f} [{found.low:.3f}–{found.high:.3f}]"
    # All drives agree: then drives are what is counted.
    drives = [part / whole for part, whole in zip(parts, wholes, strict=True) if whole]
    exact = clopper_pearson(round(sum(drives)), len(drives), 0.95)
    return f"{estimate:.3f} [{exact.low:.3f}–{exact.high:.3f}]"


def _by_sky(drives: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["", "By light and weather, searched as the policy says:", "", "| | faces | plates |", "|---|---|---|"]
    for sky in sorted({drive["sky"] for drive in drives}):
        own = [drive for drive in drives if drive["sky"] == sky]
        cells = []
        for kind, least in LEAST_WIDTH_PX.items():
            shares = [drive["covered"][SHIPPED][row] for drive in own for row in _wanted(drive, kind, least, 1e9)]
            cells.append(f"{np.mean(np.array(shares) >= COVERED):.3f} ({len(shares)})" if shares else "–")
        lines.append(f"| {sky} | {cells[0]} | {cells[1]} |")
    return lines


def _lost(drives: Sequence[Mapping[str, Any]]) -> list[str]:
    """What searching fewer pictures loses of what searching all covers."""
    lines = []
    for search, words in ((FIFTH, "each fifth alone is searched"), (SHIPPED, "they are searched as the policy says")):
        held, lost, more = [], [], 0
        for drive in drives:
            every, fewer = (np.array(drive["covered"][name]) >= COVERED for name in (EVERY, search))
            held.append(int(every.sum()))
            lost.append(int((every & ~fewer).sum()))
            more += int((fewer & ~every).sum())
        lines += [
            "",
            f"Of {sum(held)} items that are covered when every picture is searched, {sum(lost)} are not when {words}: "
            f"{_with_interval(lost, held)}; asked is at most {LOST_BY_FEWER:.0%}. {more} are covered only then.",
        ]
    return lines


def _cost(drives: Sequence[Mapping[str, Any]]) -> list[str]:
    shares = {search: np.mean([drive["blurred"][search] for drive in drives]) for search in SEARCHES}
    every, fifth, shipped = (f"{shares[search]:.2%}" for search in SEARCHES)
    looked = {search: sum(drive["searched"][search] for drive in drives) for search in SEARCHES}
    return [
        "",
        f"Covered share of all pixels: {every} with every picture searched, {fifth} with each fifth alone, {shipped} "
        f"as the policy says. Of {looked[EVERY]} pictures {looked[FIFTH]} and {looked[SHIPPED]} were searched.",
    ]

"""The page docs/fleet_simulator_statistics.md: tables and pictures of the comparison, written anew by each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.fitting import plots
from services.fleet_simulator.fitting.comparison import (
    BANDED,
    CURVES,
    NOISE,
    STATISTICS,
    Compared,
    Totals,
    allan_curves,
    compare,
    stop_shares,
    totals,
)
from services.fleet_simulator.fitting.decoding import Drive
from services.fleet_simulator.fitting.estimates import Estimate, Fit
from services.fleet_simulator.fitting.policy_text import number_at

Numbers = NDArray[np.float64]
PAGE: Final = "fleet_simulator_statistics.md"
_BANDS: Final = {"at rest": (-1.0, 0.05), "at 8 to 40 m/s": (8.0, 40.0)}
_PICTURES: Final = ("simulator_distributions.png", "simulator_allan_deviations.png", "simulator_distances.png")


@dataclass(frozen=True)
class Comparison:
    """What is reported.

    Attributes:
        real: Fit over real recordings.
        simulated: Fit over simulated ones.
        policy: The document `simulation_fit`.
        simulation: The document `simulation`.
        seeds: First seed and the one after the last.
        seconds: Length of a simulated drive.
        names: Short name of each real recording.
    """

    real: Fit
    simulated: Fit
    policy: Mapping[str, Any]
    simulation: Mapping[str, Any]
    seeds: tuple[int, int]
    seconds: float
    names: Mapping[str, str]


def short_names(drives: Sequence[Drive]) -> dict[str, str]:
    """The vehicle spec of each recording, with a number where there are several of one."""
    found: dict[str, str] = {}
    for drive in drives:
        same = sum(1 for name in found.values() if name.split(" ")[0] == drive.spec)
        found[drive.name] = drive.spec if same == 0 else f"{drive.spec} {same + 1}"
    return found


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def _number(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.3g}"


def _totals_rows(told: Comparison) -> list[list[str]]:
    roads, drivers = told.policy["roads"], told.policy["drivers"]
    real = [drive for drive in told.real.drives if drive.spec in roads and told.real.motion(drive)]
    rows: list[tuple[str, Totals, str]] = [
        (told.names[drive.name], totals(told.real, [drive], drivers), "") for drive in real
    ]
    rows.append(("**all real**", totals(told.real, real, drivers), ""))
    shares = stop_shares(told.simulated, told.simulated.drives, drivers)
    rng = np.random.default_rng(0)
    drawn = [float(shares[rng.integers(len(shares), size=len(shares))].mean()) for _ in range(1000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    rows.append(
        ("**simulated**", totals(told.simulated, told.simulated.drives, drivers), f" ({low:.1%} to {high:.1%})")
    )
    return [
        [
            name,
            str(one.drives),
            f"{one.hours:.2f}",
            f"{one.km:.1f}",
            f"{one.mean_speed_mps:.1f}",
            f"{one.stop_share:.1%}{share}",
            str(one.hard_brakes),
            f"{one.per_100_km[0]:.1f} ({one.per_100_km[1]:.1f} to {one.per_100_km[2]:.1f})",
        ]
        for name, one, share in rows
    ]


def _distance_rows(found: Sequence[Compared]) -> list[list[str]]:
    rows = []
    for one in found:
        own = one.pooled
        apart = [two.ks for two in one.between.values()]
        areas = [two.wasserstein for two in one.between.values()]
        rows.append(
            [
                one.statistic.title,
                f"{own.ks:.2f} ({own.ks_low:.2f} to {own.ks_high:.2f})",
                f"{min(apart):.2f} to {max(apart):.2f}",
                f"{own.wasserstein:.2f} ({own.wasserstein_low:.2f} to {own.wasserstein_high:.2f})",
                f"{min(areas):.2f} to {max(areas):.2f}",
                "yes" if one.within_yardstick else "**no**",
            ]
        )
    return rows


def _quantile_rows(found: Sequence[Compared], names: Mapping[str, str]) -> list[list[str]]:
    rows = []
    for one in found:
        samples = {names[name]: np.concatenate(list(some)) for name, some in one.real.items()}
        samples["**simulated**"] = np.concatenate(list(one.simulated))
        for name, values in samples.items():
            quantiles = np.quantile(values, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
            rows.append([one.statistic.title, name, *(_number(float(value)) for value in quantiles)])
    return rows


def _noise_rows(told: Comparison) -> list[list[str]]:
    from scipy.stats import ks_2samp

    rows = []
    every = sorted({drive.spec for drive in told.real.drives})
    for estimator, title in NOISE:
        allowed = told.policy["noise_from"].get(estimator, every)
        real = {told.names[name]: values for name, values in told.real.values(estimator, allowed).items()}
        own = told.simulated.values(estimator, [told.policy["simulated"]])
        if not real or not own:
            continue
        simulated = np.concatenate(list(own.values()))
        pooled = np.concatenate(list(real.values()))
        low, middle, high = np.quantile(simulated, [0.05, 0.5, 0.95])
        each = ", ".join(f"{name} {_number(float(np.median(values)))}" for name, values in real.items())
        inside = float(((pooled >= low) & (pooled <= high)).mean())
        ks = f"{ks_2samp(simulated, pooled).statistic:.2f}" if len(pooled) >= 5 else "–"  # noqa: PLR2004 - too few to tell
        rows.append(
            [
                title,
                each,
                f"{_number(middle)} ({_number(low)} to {_number(high)})",
                f"{inside:.0%} of {len(pooled)}",
                ks,
            ]
        )
    return rows


def _parameter_rows(told: Comparison, estimates: Sequence[Estimate]) -> list[list[str]]:
    by_number = {parameter["number"]: parameter for parameter in told.policy["parameters"]}
    return [
        [
            f"`{one.number}`",
            f"{number_at(told.simulation, one.number):.6g}",
            f"{by_number[one.number]['reduce']} of {by_number[one.number]['estimator']}",
            ", ".join(f"{told.names[name]} ({count})" for name, count in one.drawn_from.items()),
            f"{_number(one.low)} to {_number(one.high)}",
        ]
        for one in estimates
    ]


def _pictures(told: Comparison, found: Sequence[Compared], banded: Sequence[Compared], folder: Path) -> None:
    plots.plot_distributions(found, told.names, folder / _PICTURES[0])
    curves = {}
    for band, limits in _BANDS.items():
        by_axis = {}
        for name in CURVES:
            real = {
                told.names[drive.name]: rows[0]
                for drive in told.real.drives
                if drive.spec in told.policy["noise_from"]["allan"]
                and len(rows := allan_curves(told.real, [drive], name, limits))
            }
            by_axis[name] = (real, allan_curves(told.simulated, told.simulated.drives, name, limits))
        curves[band] = by_axis
    plots.plot_allan(curves, folder / _PICTURES[1])
    plots.plot_distances([*found, *banded], told.names, folder / _PICTURES[2])


def _filled(template: str, parts: Mapping[str, str]) -> str:
    for name, text in parts.items():
        template = template.replace(f"{{{name}}}", text)
    return template


def write_page(told: Comparison, docs: Path, template: str) -> tuple[Path, Sequence[Compared]]:
    """Write the page and its pictures.

    Args:
        told: What is reported.
        docs: Folder of the documentation; pictures go into its `images`.
        template: Markdown with the names of tables and numbers in braces.
    """
    roads = told.policy["roads"]
    found = [one for s in STATISTICS if (one := compare(s, told.real, told.simulated, roads))]
    banded = [one for s in BANDED if (one := compare(s, told.real, told.simulated, roads))]
    estimates = [told.real.estimate(parameter) for parameter in told.policy["parameters"]]
    (docs / "images").mkdir(parents=True, exist_ok=True)
    _pictures(told, found, banded, docs / "images")
    first, end = told.seeds
    totals_header = [
        "recording",
        "drives",
        "hours",
        "km",
        "mean speed (m/s)",
        "stop share",
        "hard brakes",
        "per 100 km",
    ]
    distances_header = ["statistic", "KS", "between recordings", "Wasserstein / IQR", "between recordings", "within"]
    quantiles_header = ["statistic", "recording", "1 %", "5 %", "25 %", "50 %", "75 %", "95 %", "99 %"]
    parts = {
        "drives": str(end - first),
        "seconds": f"{told.seconds:g}",
        "first": str(first),
        "last": str(end - 1),
        "window": str(told.policy["motion"]["window"]),
        "hard_brake": f"{told.policy['drivers']['hard_brake']['mps2']:g}",
        "totals": _table(totals_header, _totals_rows(told)),
        "distances": _table(distances_header, _distance_rows([*found, *banded])),
        "quantiles": _table(quantiles_header, _quantile_rows(found, told.names)),
        "noise": _table(["noise", "real", "simulated", "real values inside", "KS"], _noise_rows(told)),
        "parameters": _table(
            ["number", "value", "is the", "recordings", "quartiles"], _parameter_rows(told, estimates)
        ),
    }
    page = docs / PAGE
    page.write_text(_filled(template, parts), encoding="utf-8")
    return page, [*found, *banded]

"""`python -m services.fleet_simulator.fitting fit | compare | shares`: see docs/fleet_simulator_statistics.md.

Here belongs the command line. What it calls is in the modules beside it.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from fleet_assets.policy.documents import Policies, load_policies
from services.fleet_simulator.fitting.decoding import Drive, find_drives, with_extra_signals
from services.fleet_simulator.fitting.estimates import Estimate, Fit
from services.fleet_simulator.fitting.policy_text import number_at, with_numbers
from services.fleet_simulator.fitting.report import PAGE, Comparison, short_names, write_page
from services.fleet_simulator.fitting.simulated import TUNING_SEEDS, Wanted, make_drives

_ROOT: Final = Path(__file__).resolve().parents[3]
_TEMPLATE: Final = Path(__file__).with_name("page.md")
_POLICY: Final = _ROOT / "policies" / "simulation.yaml"
_FIT, _SIMULATION = "simulation_fit", "simulation"
_REPORTED_FROM: Final = 10_000


def real_drives(folder: Path, policies: Policies) -> list[Drive]:
    """The recordings below a folder that the policy names as evidence."""
    fit = policies[_FIT]
    wanted = {*fit["roads"], *(spec for row in fit["parameters"] for spec in row["from"])}
    extended = with_extra_signals(policies, fit["extra_signals"])
    return list(find_drives(folder, extended, frozenset(wanted)))


def fitted(drives: Sequence[Drive], policies: Policies) -> list[Estimate]:
    """All numbers of the policy's list.

    Raises:
        NothingToFitError: When the recordings do not have what one of them needs.
    """
    fit = Fit(drives, policies[_FIT])
    return [fit.estimate(parameter) for parameter in policies[_FIT]["parameters"]]


def _fit(arguments: argparse.Namespace) -> int:
    policies = load_policies()
    names = short_names(drives := real_drives(arguments.recordings, policies))
    differing = {}
    for one in fitted(drives, policies):
        stands = number_at(policies[_SIMULATION], one.number)
        sources = ", ".join(f"{names[name]} {count}" for name, count in one.drawn_from.items())
        mark = "" if stands == one.value else f"  (policy: {stands:g})"
        print(f"{one.number} = {one.value:g}  from {sources}{mark}")
        if mark:
            differing[one.number] = one.value
    if arguments.check:
        print(
            f"{len(differing)} numbers of {_POLICY.name} are not what the recordings give"
            if differing
            else "all as fitted"
        )
        return 1 if differing else 0
    _POLICY.write_text(with_numbers(_POLICY.read_text(encoding="utf-8"), differing), encoding="utf-8")
    print(f"{len(differing)} numbers changed in {_POLICY.relative_to(_ROOT)}")
    return 0


def _shares(arguments: argparse.Namespace) -> int:
    """What estimators find again of the numbers that simulated drives were made with."""
    if arguments.first_seed + arguments.drives > TUNING_SEEDS:
        raise SystemExit(f"shares tune numbers: use seeds below {TUNING_SEEDS}; the others are for reports")
    policies = load_policies()
    made = make_drives(Wanted(arguments.first_seed, arguments.drives, arguments.seconds), policies, arguments.workers)
    fit = Fit(made, policies[_FIT])
    for parameter in policies[_FIT]["parameters"]:
        if "share" in parameter:
            simulated = {**parameter, "from": [policies[_FIT]["simulated"]], "share": 1.0, "digits": 4}
            one = fit.estimate(simulated)
            stands = number_at(policies[_SIMULATION], one.number)
            count = sum(one.drawn_from.values())
            print(f"{one.number}: {one.value:g} of {stands:g}, share {one.value / stands:.3g} (n = {count})")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    if arguments.first_seed < _REPORTED_FROM:
        raise SystemExit(
            f"reports use seeds from {_REPORTED_FROM} on; numbers were tuned on those below {TUNING_SEEDS}"
        )
    policies = load_policies()
    real = real_drives(arguments.recordings, policies)
    made = make_drives(Wanted(arguments.first_seed, arguments.drives, arguments.seconds), policies, arguments.workers)
    told = Comparison(
        real=Fit(real, policies[_FIT]),
        simulated=Fit([replace(drive, spec=policies[_FIT]["simulated"]) for drive in made], policies[_FIT]),
        policy=policies[_FIT],
        simulation=policies[_SIMULATION],
        seeds=(arguments.first_seed, arguments.first_seed + arguments.drives),
        seconds=arguments.seconds,
        names=short_names(real),
    )
    page, found = write_page(told, arguments.docs, _TEMPLATE.read_text(encoding="utf-8"))
    beyond = [one.statistic.key for one in found if not one.within_yardstick]
    print(f"wrote {page}; farther from the recordings than these are from each other: {', '.join(beyond) or 'none'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.fleet_simulator.fitting", description=__doc__)
    commands = parser.add_subparsers(required=True)
    fit = commands.add_parser("fit", help="derive numbers of policies/simulation.yaml from recordings and write them")
    fit.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a number differs")
    fit.set_defaults(call=_fit)
    shares = commands.add_parser("shares", help="what estimators find again in simulated drives; for `share`")
    shares.set_defaults(call=_shares)
    compare = commands.add_parser("compare", help=f"write docs/{PAGE}: simulated drives against real recordings")
    compare.add_argument("--docs", type=Path, default=_ROOT / "docs", help="folder to write into")
    compare.set_defaults(call=_compare)
    for command in (fit, compare):
        command.add_argument("--recordings", type=Path, required=True, help="folder with recordings of real vehicles")
    for command, first in ((shares, 0), (compare, _REPORTED_FROM)):
        command.add_argument("--drives", type=int, default=40, help="simulated drives")
        command.add_argument("--seconds", type=float, default=300.0, help="length of each")
        command.add_argument("--first-seed", type=int, default=first)
        command.add_argument("--workers", type=int, default=2, help="processes; the result does not depend on them")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    asked = _parser().parse_args(arguments)
    code: int = asked.call(asked)
    return code


if __name__ == "__main__":
    sys.exit(main())

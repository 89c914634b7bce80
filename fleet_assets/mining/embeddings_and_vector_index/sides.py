"""Which drives the gate on drift compares: a depot's first ones, and its newest ones up to a day.

Here belongs the choice. It pools over days, so that a depot with a drive a day gets a verdict as well as one with
hundreds. Reading and comparing are in `questions.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from fleet_assets.provenance.ledger import Entry


@dataclass(frozen=True, slots=True)
class Sides:
    """The two sides as seen from one day.

    Attributes:
        last: Last day of the reference.
        reference: Drives of the reference, oldest first.
        window: Drives that may stand for the newest ones, newest first. Its tail is of the reference where there are
            fewer since than are needed.
    """

    last: str
    reference: tuple[Entry, ...]
    window: tuple[Entry, ...]

    def first(self, count: int) -> tuple[list[Entry], list[Entry]]:
        """The reference without the newest drives, and so many of these."""
        newest = list(self.window[:count])
        taken = {(one.partition, one.unit) for one in newest}
        return [one for one in self.reference if (one.partition, one.unit) not in taken], newest


def sides(entries: Iterable[Entry], day: str, policy: Mapping[str, Any]) -> Sides:
    """Divide the drives of a depot.

    Args:
        entries: All its drives with vectors; at least one.
        day: The day that is judged.
        policy: Key `drift` of the gates.
    """
    ordered = sorted(entries, key=lambda one: (one.partition, one.unit))
    begin = policy["reference"]["from"] or ordered[0].partition[0]
    last = _last_of_reference([one.partition[0] for one in ordered], begin, policy)
    reference = [one for one in ordered if begin <= one.partition[0] <= last]
    earliest = _shifted(day, 1 - policy["pool_days"])
    since = [one for one in ordered if last < one.partition[0] <= day and earliest <= one.partition[0]]
    # The first drives stay where they are: without them there would be nothing to compare with.
    spare = [one for one in reference[policy["least_drives"] :] if earliest <= one.partition[0]]
    lacking = max(0, policy["least_drives"] - len(since))
    return Sides(last, tuple(reference), (*since[::-1], *spare[::-1][:lacking]))


def _last_of_reference(days: Sequence[str], begin: str, policy: Mapping[str, Any]) -> str:
    """The reference is as long as the policy says, and longer until it has the drives of both sides.

    Only so has every later day enough of them: the newest drives may reach back into the reference.
    """
    usual, limit = _shifted(begin, policy["reference"]["days"] - 1), _shifted(begin, policy["pool_days"] - 1)
    known = [day for day in days if begin <= day]
    needed = 2 * policy["least_drives"]
    return max(usual, limit if len(known) < needed else min(limit, known[needed - 1]))


def _shifted(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()

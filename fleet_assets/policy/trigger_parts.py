"""From a trigger's text to conditions, numbers and states: plain triggers become machines here.

Here belong times in samples and what is wrong with a part, collected with its place. The document as a whole is
`triggers.py`'s business, what a machine does `expressions/machines.py`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Final

from fleet_assets.policy.expressions.checking import Checker
from fleet_assets.policy.expressions.machines import Exit, Part, State, machine_problems
from fleet_assets.policy.expressions.quantities import Quantity
from fleet_assets.policy.expressions.syntax import ExpressionError
from fleet_assets.policy.units import UnknownUnitError

_MS_PER_S: Final = 1000


@dataclass
class TriggerParts:
    """Makes the parts of one trigger, and collects what is wrong with them.

    Attributes:
        checker: Knows the names.
        place: Where the trigger is in the document.
        step_ms: Spacing of the grid.
        problems: What is wrong, with its place; grows.
    """

    checker: Checker
    place: str
    step_ms: int
    problems: list[str]

    def condition(self, place: str, text: str) -> int | None:
        """Node of a condition; None and a problem where it is wrong."""
        try:
            return self.checker.condition(text)
        except ExpressionError as error:
            self.problems.append(f"{place}: {error}")
            return None

    def number(self, place: str, text: str, unit: str) -> int | None:
        """Node of a number in a unit; None and a problem where it is wrong."""
        try:
            node, quantity = self.checker.number(text)
            wanted = Quantity.of(unit)
        except (ExpressionError, UnknownUnitError) as error:
            self.problems.append(f"{place}: {error}")
            return None
        if quantity != wanted:
            self.problems.append(f"{place}: gives {quantity.words}, stated is {wanted.words}. Correct the unit")
            return None
        return node

    def _samples(self, seconds: float) -> int:
        """A time in samples, rounded up."""
        return ceil(Fraction(str(seconds)) * _MS_PER_S / self.step_ms)

    def plain(self, body: Mapping[str, Any]) -> tuple[State, ...]:
        """States of a trigger that is written as start, hold and times.

        Pauses that are bridged are part of an event from its first sample on, whether it has lasted long enough or not.
        """
        start = self.condition(f"{self.place}/start", body["start"])
        hold = self.condition(f"{self.place}/hold", body["hold"]) if "hold" in body else start
        least, longest = self._samples(body["min_s"]), self._samples(body["max_s"])
        pause, rest = self._samples(body.get("bridge_s", 0.0)), self._samples(body.get("refractory_s", 0.0))
        idle, candidate, wavering, opened, closing, resting = range(6)
        over = resting if rest else idle
        cut = Exit(over, after=longest, since_event=True)
        ends = Exit(closing if pause else over, hold, wanted=False)
        breaks = Exit(wavering if pause else idle, hold, wanted=False)
        enough = Exit(opened, hold, after=least - 1, since_event=True)
        states = [
            State("idle", Part.OUTSIDE, (Exit(candidate if least > 1 else opened, start),)),
            State("candidate", Part.CANDIDATE, (breaks, Exit(opened, after=least - 1, since_event=True))),
            State("wavering", Part.CANDIDATE, (enough, Exit(candidate, hold), Exit(idle, after=pause))),
            State("open", Part.OPEN, (cut, ends)),
            State("closing", Part.CLOSING, (cut, Exit(opened, hold), Exit(over, after=pause))),
            State("resting", Part.OUTSIDE, (Exit(idle, after=rest),)),
        ]
        if longest <= least:
            self.problems.append(f"{self.place}/max_s: {body['max_s']} is not above min_s {body['min_s']}. Raise it")
        return tuple(states)

    def machine(self, begins: str, body: Mapping[str, Any]) -> tuple[State, ...]:
        """States that are written out: the one in which a drive begins, then the others by name."""
        names = sorted(body, key=lambda name: (name != begins, name))
        if begins not in body:
            self.problems.append(f"{self.place}/begins: no state {begins!r}. Known: {', '.join(names)}")
            return ()
        states = []
        for name in names:
            exits = [
                one
                for index, exit_body in enumerate(body[name]["exits"])
                if (one := self._exit(f"{self.place}/states/{name}/exits/{index}", exit_body, names)) is not None
            ]
            states.append(State(name, Part(body[name].get("event", "outside")), tuple(exits)))
        if states[0].part is not Part.OUTSIDE:
            self.problems.append(f"{self.place}/begins: {begins!r} is part of an event. Begin outside of one")
        if not self.problems:
            self.problems += [f"{self.place}/states: {problem}" for problem in machine_problems(states)]
        return tuple(states)

    def _exit(self, place: str, body: Mapping[str, Any], names: Sequence[str]) -> Exit | None:
        if body["to"] not in names:
            self.problems.append(f"{place}/to: no state {body['to']!r}. Known: {', '.join(names)}")
            return None
        text = body.get("when", body.get("unless"))
        condition = self.condition(place, text) if text is not None else None
        if text is not None and condition is None:
            return None
        since_event = "after_event_s" in body
        after = self._samples(body.get("after_event_s", body.get("after_s", 0.0)))
        return Exit(names.index(body["to"]), condition, "unless" not in body, after, since_event)

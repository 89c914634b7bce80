"""State machines over conditions: when an event begins, is confirmed, pauses and ends.

Here belong what a machine is, and the two ways to run it: sample by sample, and over whole columns from one change of a
condition to the next. Which states a trigger has is said by its policy.

A machine is in one state at every sample. At sample i it leaves a state that it entered at sample e < i by the first of
the state's exits whose condition is as asked and whose time has passed; at most one exit per sample. States are outside
of an event, or its candidate, open or closing part. An event lasts from the entry into its first part until the
machine is outside again (until the entry into the closing part, if it leaves from there), and counts if it was open.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from fleet_assets.policy.expressions.columnar import Bools, Columns, Floats


class Part(StrEnum):
    """What a state is to an event."""

    OUTSIDE = "outside"
    CANDIDATE = "candidate"
    OPEN = "open"
    CLOSING = "closing"


ALLOWED: Final[Mapping[Part, frozenset[Part]]] = {
    Part.OUTSIDE: frozenset({Part.OUTSIDE, Part.CANDIDATE, Part.OPEN}),
    Part.CANDIDATE: frozenset({Part.OUTSIDE, Part.CANDIDATE, Part.OPEN}),
    Part.OPEN: frozenset({Part.OUTSIDE, Part.OPEN, Part.CLOSING}),
    Part.CLOSING: frozenset({Part.OUTSIDE, Part.OPEN}),
}
"""Which parts may follow which."""


@dataclass(frozen=True, slots=True)
class Exit:
    """A way out of a state.

    Attributes:
        to: Index of the state that it leads to.
        condition: Node of the plan; None for no condition.
        wanted: Whether the condition has to be true, or not to be.
        after: Samples since the state was entered that must have passed.
        since_event: Whether they count from the first sample of the event instead.
    """

    to: int
    condition: int | None = None
    wanted: bool = True
    after: int = 0
    since_event: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """A state: its name, what it is to an event, and the ways out of it in order."""

    name: str
    part: Part
    exits: tuple[Exit, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """A trigger, compiled.

    Attributes:
        states: The first one is where it begins.
        value: Node of the number whose peak is an event's value.
        largest: Whether its peak is the largest number, else the smallest.
    """

    states: tuple[State, ...]
    value: int
    largest: bool

    @property
    def conditions(self) -> tuple[int, ...]:
        """Nodes of all conditions, each once."""
        found = {one.condition for state in self.states for one in state.exits if one.condition is not None}
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Window:
    """An event, in samples from the beginning of the stretch.

    Attributes:
        first: First sample.
        end: One past the last sample.
        peak: Sample at which its value is reached; the first one where there is none.
        value: The value, NaN where it is missing throughout.
        cut: Whether the stretch ended before the event did.
    """

    first: int
    end: int
    peak: int
    value: float
    cut: bool


class _Peak:
    """The extreme value so far, with the sample at which it was reached first."""

    def __init__(self, *, largest: bool) -> None:
        self._largest = largest
        self.at, self.value = -1, float("nan")

    def add(self, at: int, value: float) -> None:
        beats = value > self.value if self._largest else value < self.value
        if beats or (self.at < 0 and value == value):  # noqa: PLR0124 - not missing
            self.at, self.value = at, value


class MachineStream:
    """A machine over one unbroken stretch, sample by sample.

    Args:
        machine: The machine.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._at, self._state, self._entered = -1, 0, -1
        self._first, self._opened = 0, False
        self._peak, self._pause = _Peak(largest=machine.largest), _Peak(largest=machine.largest)

    def step(self, truths: Mapping[int, bool], value: float) -> Window | None:
        """Take the next sample; the event that ends at it, if one does.

        Args:
            truths: Truth by node of every condition.
            value: The number whose peak is wanted.
        """
        self._at += 1
        before = self._part
        ended = None
        leave = self._exit(truths)
        if leave is not None:
            ended = self._go(leave.to, before)
        self._count(before, value)
        return ended

    def finish(self) -> Window | None:
        """The event that is still open at the end of the stretch."""
        if not self._opened or self._part is Part.OUTSIDE:
            return None
        end = self._entered if self._part is Part.CLOSING else self._at + 1
        return self._window(end, cut=self._part is Part.OPEN)

    @property
    def _part(self) -> Part:
        return self._machine.states[self._state].part

    def _exit(self, truths: Mapping[int, bool]) -> Exit | None:
        for one in self._machine.states[self._state].exits:
            since = self._first if one.since_event else self._entered
            met = one.condition is None or truths[one.condition] is one.wanted
            if met and self._at - since >= one.after:
                return one
        return None

    def _go(self, to: int, before: Part) -> Window | None:
        part, ended = self._machine.states[to].part, None
        if before is not Part.OUTSIDE and part is Part.OUTSIDE and self._opened:
            ended = self._window(self._entered if before is Part.CLOSING else self._at, cut=False)
        if before is Part.OUTSIDE and part is not Part.OUTSIDE:
            self._first, self._opened = self._at, False
            self._peak = _Peak(largest=self._machine.largest)
        if part is Part.CLOSING:
            self._pause = _Peak(largest=self._machine.largest)
        self._opened = part is not Part.OUTSIDE and (self._opened or part is Part.OPEN)
        self._state, self._entered = to, self._at
        return ended

    def _count(self, before: Part, value: float) -> None:
        part = self._part
        if part is Part.CLOSING:
            self._pause.add(self._at, value)
        elif part is not Part.OUTSIDE:
            if before is Part.CLOSING and self._pause.at >= 0:
                self._peak.add(self._pause.at, self._pause.value)
            self._peak.add(self._at, value)

    def _window(self, end: int, *, cut: bool) -> Window:
        peak = self._peak.at if self._peak.at >= 0 else self._first
        return Window(self._first, end, peak, self._peak.value, cut)


class _Changes:
    """A condition as the samples at which it changes."""

    def __init__(self, column: Bools) -> None:
        self._begins = bool(column[0])
        self._at: list[int] = (np.flatnonzero(column[1:] != column[:-1]) + 1).tolist()

    def next(self, since: int, *, wanted: bool) -> int | None:
        """First sample from one on at which it is as wanted."""
        place = bisect_right(self._at, since)
        if (self._begins ^ bool(place & 1)) is wanted:
            return since
        return self._at[place] if place < len(self._at) else None


class _Walk:
    """A machine over columns, from exit to exit."""

    def __init__(self, machine: Machine, columns: Columns, samples: int) -> None:
        self._machine, self._columns, self._samples = machine, columns, samples
        self._changes: dict[int, _Changes] = {}
        self._first = self._entered = 0

    def windows(self) -> list[Window]:
        spans: list[tuple[int, int, bool]] = []
        states, state, opened = self._machine.states, 0, False
        self._entered = -1
        while (leave := self._next(state)) is not None:
            at, to = leave
            before, part = states[state].part, states[to].part
            if before is not Part.OUTSIDE and part is Part.OUTSIDE and opened:
                spans.append((self._first, self._entered if before is Part.CLOSING else at, False))
            if before is Part.OUTSIDE and part is not Part.OUTSIDE:
                self._first, opened = at, False
            opened = part is not Part.OUTSIDE and (opened or part is Part.OPEN)
            state, self._entered = to, at
        part = states[state].part
        if opened and part is not Part.OUTSIDE:
            closing = part is Part.CLOSING
            spans.append((self._first, self._entered if closing else self._samples, not closing))
        if not spans:
            return []
        values = self._columns.number(self._machine.value)
        return [_measured(first, end, values, largest=self._machine.largest, cut=cut) for first, end, cut in spans]

    def _next(self, state: int) -> tuple[int, int] | None:
        """Sample and target of the next exit."""
        found: tuple[int, int] | None = None
        for one in self._machine.states[state].exits:
            since = (self._first if one.since_event else self._entered) + one.after
            at: int | None = max(since, self._entered + 1)
            if one.condition is not None and at is not None and at < self._samples:
                at = self._of(one.condition).next(at, wanted=one.wanted)
            if at is not None and at < self._samples and (found is None or at < found[0]):
                found = (at, one.to)
        return found

    def _of(self, condition: int) -> _Changes:
        if condition not in self._changes:
            self._changes[condition] = _Changes(self._columns.truth(condition))
        return self._changes[condition]


def _measured(first: int, end: int, values: Floats, *, largest: bool, cut: bool) -> Window:
    part = values[first:end]
    if np.isnan(part).all():
        return Window(first, end, first, float("nan"), cut)
    at = int(np.nanargmax(part) if largest else np.nanargmin(part))
    return Window(first, end, first + at, float(part[at]), cut)


def windows(machine: Machine, columns: Columns, samples: int) -> list[Window]:
    """Every event of a machine in one unbroken stretch; the same as `MachineStream` finds.

    Args:
        machine: The machine.
        columns: The stretch's plan over its columns.
        samples: Length of the stretch.
    """
    return _Walk(machine, columns, samples).windows() if samples else []


def machine_problems(states: Sequence[State]) -> list[str]:
    """What is wrong with a machine's states: parts that may not follow each other, and exits that no sample passes."""
    problems = []
    for state in states:
        for one in state.exits:
            target = states[one.to]
            if target.part not in ALLOWED[state.part]:
                problems.append(
                    f"{state.name} ({state.part}) leads to {target.name} ({target.part}). "
                    f"Allowed next: {', '.join(sorted(ALLOWED[state.part]))}"
                )
            if one.since_event and state.part is Part.OUTSIDE:
                problems.append(f"{state.name} counts from an event but is outside of one. Use after_s")
    return problems

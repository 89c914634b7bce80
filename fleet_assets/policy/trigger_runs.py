"""Running compiled triggers: over the columns of a drive, or sample by sample on a vehicle, with identical events.

Here belong time stamps, breaks in the grid and the signals over tracked objects. Machines and operations are in
`expressions/`.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.policy.expressions.columnar import Columns, Floats
from fleet_assets.policy.expressions.machines import MachineStream, Window, windows
from fleet_assets.policy.expressions.streaming import Stream
from fleet_assets.policy.triggers import CompiledTrigger, CompiledTriggers, roots_of

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000
_BATCH_ROWS: Final = 8_192
Times = NDArray[np.int64]


class DisorderedSamplesError(ValueError):
    """Samples that do not follow each other on the grid's instants."""


@dataclass(frozen=True, slots=True)
class TriggerEvent:
    """Something that a trigger found.

    Attributes:
        trigger: Name of the trigger.
        start_ns: First grid instant.
        end_ns: End, exclusive: one step after the last instant.
        peak_ns: Instant at which the value was reached.
        value: Peak of the trigger's number, in its unit; NaN where it is missing throughout.
        cut: Whether the recording or the signals' grid ended before the event did.
    """

    trigger: str
    start_ns: int
    end_ns: int
    peak_ns: int
    value: float
    cut: bool


def _event(trigger: CompiledTrigger, window: Window, start_ns: int, step_ns: int) -> TriggerEvent:
    return TriggerEvent(
        trigger.name,
        start_ns + window.first * step_ns,
        start_ns + window.end * step_ns,
        start_ns + window.peak * step_ns,
        window.value / trigger.scale,
        window.cut,
    )


def stretches(t_ns: Times, step_ns: int) -> list[tuple[int, int]]:
    """First and end index of every stretch in which instants follow each other by one step.

    Args:
        t_ns: int64[n], grid instants.
        step_ns: Spacing of the grid.

    Raises:
        DisorderedSamplesError: When instants repeat or run backward.
    """
    if not len(t_ns):
        return []
    steps = np.diff(t_ns)
    if len(steps) and int(steps.min()) <= 0:
        at = int(steps.argmin())
        raise DisorderedSamplesError(
            f"sample {at + 1} at {int(t_ns[at + 1])} ns is not after {int(t_ns[at])} ns. Sort the drive by time"
        )
    ends = [*(np.flatnonzero(steps != step_ns) + 1).tolist(), len(t_ns)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def drive_events(compiled: CompiledTriggers, t_ns: Times, signals: Mapping[str, Floats]) -> list[TriggerEvent]:
    """Every event of one drive, in order of start and of the policy.

    Args:
        compiled: The triggers for its vehicle.
        t_ns: int64[n], grid instants in order.
        signals: float64[n] by signal (truth as 0 and 1), NaN where missing; absent ones are missing throughout.

    Raises:
        DisorderedSamplesError: When instants repeat or run backward.
    """
    step_ns = compiled.step_ms * _NS_PER_MS
    found: list[tuple[int, TriggerEvent]] = []
    for first, end in stretches(t_ns, step_ns):
        columns = Columns(compiled.plan, {name: column[first:end] for name, column in signals.items()}, end - first)
        for order, trigger in enumerate(compiled.triggers):
            there = windows(trigger.machine, columns, end - first)
            found += [(order, _event(trigger, window, int(t_ns[first]), step_ns)) for window in there]
    return [event for _, event in sorted(found, key=lambda one: (one[1].start_ns, one[0], one[1].end_ns))]


class VehicleTriggers:
    """Compiled triggers fed one sample after the other; their memory is bounded by the policy's windows.

    Args:
        compiled: The triggers for this vehicle.
    """

    def __init__(self, compiled: CompiledTriggers) -> None:
        self._compiled, self._step_ns = compiled, compiled.step_ms * _NS_PER_MS
        self._last_ns: int | None = None
        self._begin(0)

    def _begin(self, t_ns: int) -> None:
        triggers = self._compiled.triggers
        self._start_ns = t_ns
        self._roots = tuple(sorted({root for one in triggers for root in roots_of(one.machine)}))
        self._stream = Stream(self._compiled.plan, self._roots)
        self._machines = [(one, MachineStream(one.machine)) for one in triggers]

    def step(self, t_ns: int, sample: Mapping[str, float]) -> list[TriggerEvent]:
        """Take the sample of the next grid instant; events that ended with it.

        A missing instant breaks the stretch: every trigger begins anew, as at the start of a drive.

        Args:
            t_ns: The instant.
            sample: Number by signal (truth as 0 and 1); absent or NaN where missing.

        Raises:
            DisorderedSamplesError: When the instant is not after the last one.
        """
        ended = []
        if self._last_ns is None:
            self._begin(t_ns)
        elif t_ns <= self._last_ns:
            raise DisorderedSamplesError(f"sample at {t_ns} ns is not after the one at {self._last_ns} ns. Drop it")
        elif t_ns != self._last_ns + self._step_ns:
            ended = self.finish()
            self._begin(t_ns)
        self._last_ns = t_ns
        values = dict(zip(self._roots, self._stream.step(sample), strict=True))
        for trigger, machine in self._machines:
            window = machine.step(values, values[trigger.machine.value])
            if window is not None:
                ended.append(_event(trigger, window, self._start_ns, self._step_ns))
        return ended

    def finish(self) -> list[TriggerEvent]:
        """Events that are still open when the samples end."""
        open_still = [(trigger, machine.finish()) for trigger, machine in self._machines]
        return [_event(one, window, self._start_ns, self._step_ns) for one, window in open_still if window is not None]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectSlot:
    """One slot of a sensor's object list over a drive.

    Attributes:
        t_ns: int64[n], times of its messages, strictly increasing.
        columns: float64[n] by column of the track table.
    """

    t_ns: Times
    columns: Mapping[str, Floats]


Part = tuple[Mapping[str, Floats], int, NDArray[np.int64], int]
"""Columns of a slot with a missing value behind its last; first grid row; the messages that speak from there on, -1 for
none; how many of the first rows are only past."""


def track_signals(
    compiled: CompiledTriggers, t_ns: Times, slots: Sequence[ObjectSlot], signals: Mapping[str, Floats]
) -> dict[str, Floats]:
    """The signals over tracked objects, on the grid.

    At each instant a slot's latest message speaks, if it is no older than the policy's `track_hold_s`.

    Args:
        compiled: The triggers.
        t_ns: int64[g], grid instants in order.
        slots: Slots of all sensors.
        signals: float64[g] by signal, as for `drive_events`.

    Returns:
        float64[g] by track signal, NaN where no object meets its condition.
    """
    reach = compiled.track_reach
    hold_ns, step_ns = round(compiled.track_hold_s * _NS_PER_S), compiled.step_ms * _NS_PER_MS
    found = {one.name: np.full(len(t_ns), np.nan) for one in compiled.tracks}
    unbroken = stretches(t_ns, step_ns)
    shared = _shared(compiled, unbroken, signals) if slots else {}
    parts: list[Part] = []
    for slot in slots:
        index = _speaking(slot.t_ns, t_ns, hold_ns, step_ns)
        own = {name: np.append(slot.columns[name], np.nan) for name in compiled.track_names.intersection(slot.columns)}
        for first, begin, end in _occupied(index >= 0, unbroken, reach):
            parts.append((own, first, index[first:end], begin - first))
    # Parts with a whole past can lie behind each other: nothing that counts looks back beyond its own.
    whole = [part for part in parts if part[3] == reach]
    for together in [*_batches(whole), *([part] for part in parts if part[3] != reach)]:
        _reduce(compiled, together, shared, found)
    return found


def _speaking(said_ns: Times, t_ns: Times, hold_ns: int, step_ns: int) -> NDArray[np.int64]:
    """Number of the latest message at each grid instant, -1 where there is none or it is too old.

    Messages are brought to the grid, not the grid to the messages: a slot is empty most of the time.
    """
    index = np.full(len(t_ns), -1, dtype=np.int64)
    number, first = np.arange(len(said_ns)), np.searchsorted(t_ns, said_ns)
    # A younger message comes to an instant after fewer steps than an older one, or later in the order of messages.
    for steps in range(hold_ns // step_ns, -1, -1):
        at = first + steps
        there = np.flatnonzero(at < len(t_ns))
        there = there[t_ns[at[there]] - said_ns[there] <= hold_ns]
        index[at[there]] = number[there]
    return index


def _batches(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts together, so many rows at a time that their columns stay near the processor."""
    batch: list[Part] = []
    rows = 0
    for part in parts:
        batch.append(part)
        rows += len(part[2])
        if rows >= _BATCH_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _shared(
    compiled: CompiledTriggers, unbroken: Sequence[tuple[int, int]], signals: Mapping[str, Floats]
) -> dict[int, NDArray[Any]]:
    """What is the same for all objects, on the whole grid: computed once instead of for every object."""
    plan, nodes = compiled.track_plan[0], compiled.track_grid_nodes
    wanted = compiled.track_names.intersection(signals)
    columns = [
        (Columns(plan, {name: signals[name][first:end] for name in wanted}, end - first), end - first)
        for first, end in unbroken
    ]
    return {node: np.concatenate([np.broadcast_to(one.column(node), n) for one, n in columns]) for node in nodes}


def _reduce(
    compiled: CompiledTriggers,
    parts: Sequence[Part],
    shared: Mapping[int, NDArray[Any]],
    found: Mapping[str, Floats],
) -> None:
    """Take the objects of some parts into the signals over them.

    Args:
        compiled: The triggers.
        parts: The parts.
        shared: Columns of the grid, [g] by node, of what is the same for all objects.
        found: float64[g] by track signal, changed in place.
    """
    plan, roots = compiled.track_plan
    spans = [slice(first, first + len(index)) for _, first, index, _ in parts]
    given = {node: np.concatenate([column[span] for span in spans]) for node, column in shared.items()}
    columns = {name: np.concatenate([own[name][index] for own, _, index, _ in parts]) for name in parts[0][0]}
    computed = Columns(plan, columns, sum(len(index) for _, _, index, _ in parts), given)
    for one, (value, where) in zip(compiled.tracks, roots, strict=True):
        holds = computed.truth(where)
        if not holds.any():
            continue
        values = np.where(holds, computed.number(value), np.nan)
        target, choose, at = found[one.name], np.fmax if one.largest else np.fmin, 0
        for (_, _, index, past), span in zip(parts, spans, strict=True):
            counted, end = target[span.start + past : span.stop], at + len(index)
            np.add(choose(counted, values[at + past : end]), 0.0, out=counted)
            at = end


def _occupied(fresh: NDArray[np.bool_], unbroken: Sequence[tuple[int, int]], reach: int) -> list[tuple[int, int, int]]:
    """Where a slot can matter: from its first message of a while until nothing looks back to the last one any more.

    A slot that was empty for longer than anything looks back gives no value (`checking.py` sees to that).

    Returns:
        Per part: first index that is computed, first that counts, end. What is computed in front of what counts gives
        operations their past.
    """
    found: list[tuple[int, int, int]] = []
    for first, end in unbroken:
        there = np.flatnonzero(fresh[first:end]) + first
        if not len(there):
            continue
        cuts = np.flatnonzero(np.diff(there) > 2 * reach + 1)
        begins = [int(there[0]), *there[cuts + 1].tolist()]
        lasts = [*there[cuts].tolist(), int(there[-1])]
        found += [
            (max(first, begin - reach), begin, min(end, last + reach + 1))
            for begin, last in zip(begins, lasts, strict=True)
        ]
    return found


class VehicleTracks:
    """The signals over tracked objects, sample by sample: the same numbers as `track_signals`.

    Args:
        compiled: The triggers.
    """

    def __init__(self, compiled: CompiledTriggers) -> None:
        self._compiled, self._step_ns = compiled, compiled.step_ms * _NS_PER_MS
        self._streams: dict[Any, Stream] = {}
        self._flat = compiled.track_roots
        self._reach = compiled.track_plan[0].reach(self._flat)
        self._past: deque[Mapping[str, float]] = deque(maxlen=self._reach)
        self._last_ns: int | None = None

    def step(
        self, t_ns: int, objects: Mapping[Any, Mapping[str, float]], sample: Mapping[str, float]
    ) -> dict[str, float]:
        """Track signals at the next grid instant.

        Args:
            t_ns: The instant.
            objects: By slot, what its latest message said; left out when that is older than `track_hold_s`. Every slot
                that was ever named is stepped, so that its past stays in step.
            sample: Number by signal of the grid.
        """
        if self._last_ns is not None and t_ns != self._last_ns + self._step_ns:
            self._streams.clear()
            self._past.clear()
        self._last_ns = t_ns
        found = {one.name: math.nan for one in self._compiled.tracks}
        for slot in objects:
            if slot not in self._streams:
                self._streams[slot] = self._new()
        self._past.append(sample)
        for slot, stream in self._streams.items():
            values = stream.step({**sample, **objects.get(slot, {})})
            for place, one in enumerate(self._compiled.tracks):
                value, holds = values[2 * place], values[2 * place + 1]
                best = found[one.name]
                if holds and not math.isnan(value):
                    better = math.isnan(best) or (value > best if one.largest else value < best)
                    found[one.name] = (value if better else best) + 0.0
        return found

    def _new(self) -> Stream:
        """The stream of a slot that was empty so far, as far back as operations look."""
        stream = Stream(self._compiled.track_plan[0], self._flat)
        for sample in self._past:
            stream.step(sample)
        return stream

"""A vehicle spec drafted from a recording: complete, parsable, and with `# unsure` at everything that was guessed.

Here belongs putting guesses together. Guessing itself is in `signals.py`, `messages.py` and `tables.py`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fleet_assets.ingestion.drafts.messages import CAN, OTHER, Database, Heard, field_messages, match_databases
from fleet_assets.ingestion.drafts.rules import DraftingRules
from fleet_assets.ingestion.drafts.signals import (
    Guesses,
    Proposal,
    UtcGuess,
    guess_signals,
    guess_utc,
    guess_valid,
    projected_fields,
)
from fleet_assets.ingestion.drafts.survey import Survey
from fleet_assets.ingestion.drafts.tables import TableGuess, slug
from fleet_assets.ingestion.recordings.dbc import DbcText
from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import EARLIEST_UTC_NS, GNSS, LATEST_UTC_NS
from fleet_assets.policy.canonical import CanonicalSignals

BOUNDS_NS: Final = (EARLIEST_UTC_NS, LATEST_UTC_NS)
_SIGNIFICANT: Final = 3
_LISTED: Final = 60
_PASSED_OVER: Final = 3
_KEPT_AS_RECORDED: Final = ("camera", "lidar")
_COUNT: Final = ".length"


@dataclass(slots=True)
class Entry:
    """One key of the draft: its value, what is said above it, and the reasons why it is unsure."""

    value: Any
    unsure: tuple[str, ...] = ()
    note: str = ""


@dataclass(slots=True)
class Draft:
    """A drafted spec.

    Attributes:
        head: Lines above the document.
        entries: Top-level keys; nested dictionaries hold entries too.
        tail: Lines below the document, e.g. what it does not use.
    """

    head: list[str]
    entries: dict[str, Entry]
    tail: list[str] = field(default_factory=list)

    @property
    def unsure(self) -> int:
        """How many guesses a person has to confirm."""
        return sum(map(_unsure_in, self.entries.values()))


def _unsure_in(entry: Entry) -> int:
    inner = entry.value.values() if isinstance(entry.value, dict) else ()
    return len(entry.unsure) + sum(_unsure_in(item) for item in inner if isinstance(item, Entry))


def _rounded(rate_hz: float) -> float | int:
    shown = float(f"{rate_hz:.{_SIGNIFICANT}g}")
    return int(shown) if shown.is_integer() else shown


class _Names:
    """Names of sensors, each given once."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def give(self, text: str) -> str:
        name = slug("_".join(part for part in text.split("/")[-2:] if part), "sensor")[:56]
        self._given[name] += 1
        return name if self._given[name] == 1 else f"{name}_{self._given[name]}"


@dataclass(frozen=True, slots=True)
class _Material:
    """Everything that was found."""

    survey: Survey
    heards: Sequence[Heard]
    databases: Sequence[Database]
    guesses: Guesses
    utc: Sequence[UtcGuess]
    rules: DraftingRules


def _signal_entry(proposal: Proposal) -> Entry:
    key = "signal" if proposal.heard.dbc else "field"
    source: dict[str, Any] = (
        {key: proposal.fields[0]} if len(proposal.fields) == 1 else {"mean_of": list(proposal.fields)}
    )
    body = {**source, "unit": proposal.unit}
    if proposal.scale != 1.0:
        body["scale"] = int(proposal.scale)
    if proposal.wrap:
        body["wrap"] = True
    return Entry(body, proposal.unsure)


def _rate_entry(heard: Heard, rules: DraftingRules) -> Entry:
    if heard.rate_hz is None:
        return Entry({"nominal": 1, "tolerance": 1}, ("too few messages to measure a rate",))
    return Entry({"nominal": _rounded(heard.rate_hz), "tolerance": rules.rate_tolerance})


def _sensor(heard: Heard, found: _Material, *, required: bool) -> Entry:
    rules = found.rules
    proposals = found.guesses.of(heard)
    gives = bool(proposals) or _states_utc(heard, found) is not None
    kind = heard.kind if gives or heard.kind in _KEPT_AS_RECORDED else OTHER
    if kind in {CAN, OTHER} and any(one.signal in dict(rules.projected) for one in proposals):
        kind = GNSS  # what gives positions is no other sensor
    body: dict[str, Entry] = {"kind": Entry(kind), "channel": Entry(heard.channel)}
    if heard.dbc:
        body |= {"bus": Entry(heard.bus), "dbc": Entry(heard.dbc), "messages": Entry([heard.message])}
    if heard.spanning:
        reason = "the message is longer than a frame; its frames must be put together, lead_bytes may be needed"
        body["transport"] = Entry({"protocol": "isotp"}, (reason,))
    body["rate_hz"] = _rate_entry(heard, rules)
    body["required"] = Entry(required)
    body["latency_ms"] = Entry({"mean": 0, "uncertainty": rules.latency_uncertainty_ms[kind]})
    flag = guess_valid(heard, rules) if gives else None
    if flag is not None:
        body["valid_when"] = Entry(
            {"signal" if heard.dbc else "field": flag, "equals": rules.valid_equals},
            (f"{flag} is taken for the flag that vouches for the values",),
        )
    if (stated := _states_utc(heard, found)) is not None:
        source = {"signal" if heard.dbc else "field": stated.name, "unit": stated.unit}
        body["utc"] = Entry(source, (f"{stated.name} is a plausible date in {stated.unit} since 1970 and advances so",))
    counted = [name for name in heard.values if name.endswith(_COUNT)]
    if kind == "lidar" and counted:
        body["items"] = Entry(counted[0], () if len(counted) == 1 else (f"it could also be {', '.join(counted[1:])}",))
    body["signals"] = Entry({one.signal: _signal_entry(one) for one in proposals})
    return Entry(body, note=f"{heard.messages} messages seen" + (f", {heard.type}" if heard.type else ""))


def _states_utc(heard: Heard, found: _Material) -> UtcGuess | None:
    return found.utc[0] if found.utc and found.utc[0].heard is heard else None


def _chosen(found: _Material) -> list[Heard]:
    """Messages that become sensors: those that give something, and pictures and scans; else the most frequent one."""
    kept = [
        heard
        for heard in found.heards
        if found.guesses.of(heard) or _states_utc(heard, found) or heard.kind in _KEPT_AS_RECORDED or heard.spanning
    ]
    return kept or sorted(found.heards, key=lambda heard: (-heard.messages, heard.title))[:1]


def _whole_buses(survey: Survey) -> list[Heard]:
    """CAN channels as a whole, for a log whose frames no database describes."""
    import numpy as np

    heards = []
    for channel in sorted({kind.channel for kind in survey.frames}):
        samples = [sample for kind, sample in survey.frames.items() if kind.channel == channel]
        times = np.sort(np.concatenate([sample.t_ns for sample in samples]))
        span_s = (times[-1] - times[0]) / 1e9
        rate = (len(times) - 1) / span_s if span_s > 0 else None
        heards.append(Heard(channel, OTHER, sum(one.messages for one in samples), rate, times, {}))
    return heards


def _sensors(found: _Material, names: _Names) -> tuple[dict[str, Entry], list[Heard]]:
    chosen = _chosen(found)
    if not chosen:
        chosen = _whole_buses(found.survey)
    useful = [heard for heard in chosen if found.guesses.of(heard) or _states_utc(heard, found)]
    sensors = {}
    for heard in chosen:
        sensors[names.give(heard.title)] = _sensor(heard, found, required=heard in useful or not useful)
        if heard.kind == OTHER and not found.guesses.of(heard) and not heard.spanning:
            sensors[next(reversed(sensors))].unsure = ("nothing in it was recognised; it is kept as recorded",)
    return sensors, chosen


def _clock(found: _Material, sensors: dict[str, Entry], chosen: Sequence[Heard]) -> Entry:
    named = dict(zip(map(id, chosen), sensors, strict=True))
    if found.utc:
        others = [f"{one.name} of {one.heard.title}" for one in found.utc[1:4]]
        unsure = (f"UTC could also be taken from {', '.join(others)}",) if others else ()
        return Entry({"utc_from": Entry([named[id(found.utc[0].heard)]], unsure)})
    if found.survey.clock == "utc" or found.survey.container_start_ns is not None:
        return Entry({"utc_from": Entry([], ("no sensor states UTC; the recorder's own clock is trusted",))})
    return Entry({"utc_from": Entry([], ("nothing states UTC; give --start when ingesting",))})


def _databases(found: _Material, chosen: Sequence[Heard]) -> dict[str, Entry]:
    used = {heard.dbc for heard in chosen}
    entries = {}
    for database in found.databases:
        if database.text.name in used:
            body = {"path": database.text.origin}
            unsure: tuple[str, ...] = ()
            if database.by_parameter_group:
                body["id_match"] = "j1939"
                unsure = ("29-bit ids of the log match by parameter group only, as SAE J1939 has them",)
            entries[database.text.name] = Entry(body, unsure)
    return entries


def _unused(found: _Material, chosen: Sequence[Heard]) -> list[str]:
    taken = {kind for database in found.databases for kind in database.taken}
    left = [
        f"{heard.title}: {heard.messages} messages"
        + (f", {heard.rate_hz:.3g} Hz" if heard.rate_hz else "")
        + _fields(heard)
        for heard in found.heards
        if heard not in chosen
    ]
    left += [
        f"CAN id 0x{kind.can_id:X} on bus {kind.bus}: {sample.messages} frames; no database describes it"
        for kind, sample in sorted(found.survey.frames.items(), key=lambda item: (item[0].bus, item[0].can_id))
        if kind not in taken
    ]
    left += [
        f"{name} ({channel.type or channel.kind}): {channel.problem or 'no messages in the part that was looked at'}"
        for name, channel in sorted(found.survey.channels.items())
        if channel.problem or (name not in found.survey.fields and channel.kind != CAN)
    ]
    more = [f"and {len(left) - _LISTED} more"] if len(left) > _LISTED else []
    return [*left[:_LISTED], *more]


def _fields(heard: Heard) -> str:
    names = list(heard.values)
    return f"; {', '.join(names[:8])}" + (", …" if len(names) > 8 else "") if names else ""  # noqa: PLR2004 - one line


def _remarks(found: _Material) -> list[str]:
    wanted = {signal: gives for signal, gives in found.rules.projected if signal not in found.guesses.chosen}
    projected = []
    for heard in found.heards if wanted else ():
        if place := projected_fields(heard, found.rules):
            projected.append(
                f"{heard.title}: {place['east']} and {place['north']} look projected; with their EPSG code:"
            )
            fields = f"east: {place['east']}, north: {place['north']}"
            projected += [
                f"{signal}: {{projected: {{epsg: 32600, {fields}, gives: {gives}}}, unit: deg}}"
                for signal, gives in wanted.items()
            ]
    problems = [problem for database in found.databases for problem in database.problems]
    passed_over = [
        words
        for signal, said in found.guesses.passed_over.items()
        for words in said[:_PASSED_OVER]
        if signal not in found.guesses.chosen
    ]
    return [*passed_over, *projected, *problems]


def draft_spec(
    name: str,
    survey: Survey,
    rules: DraftingRules,
    canonical: CanonicalSignals,
    *,
    databases: Sequence[DbcText] = (),
    table: TableGuess | None = None,
) -> Draft:
    """Draft the spec of the vehicle that a recording is of.

    Args:
        name: Name of the spec.
        survey: What the recording carries.
        rules: How to guess.
        canonical: The fleet's signals.
        databases: CAN databases that may describe it.
        table: Layout of a text table.
    """
    matched = match_databases(databases, survey, rules)
    heards = [*field_messages(survey, rules), *(heard for database in matched for heard in database.heard)]
    guesses = guess_signals(heards, rules, canonical)
    utc = guess_utc(heards, rules, BOUNDS_NS) if table is None else []
    found = _Material(survey, heards, matched, guesses, utc, rules)
    sensors, chosen = _sensors(found, _Names())
    dbc = _databases(found, chosen)
    pairs = [
        {"a": one, "b": other}
        for one, other in rules.redundant_pairs
        if one in guesses.chosen
        and other in guesses.chosen
        and guesses.chosen[one].heard is not guesses.chosen[other].heard
    ]
    entries = {
        "schema": Entry("fleet.vehicle/v1"),
        "name": Entry(name),
        "description": Entry(
            f"Drafted from a recording of format {survey.format}", ("say which vehicle and recorder",)
        ),
        "format": Entry(survey.format),
        **({"table": Entry(table.body, table.unsure)} if table else {}),
        **({"dbc": Entry(dbc)} if dbc else {}),
        "sensors": Entry(sensors),
        "clock": _clock(found, sensors, chosen),
        "redundant_pairs": Entry(pairs),
    }
    head = [
        "Drafted by `fleet vehicle init`. Channels and rates are measured; what says `unsure` is a guess: confirm or",
        "correct it, and remove the comment. Then `fleet vehicle check` and `fleet ingest`.",
        "unsure: no recording tells latencies; those below are usual for their kinds.",
    ]
    tail = [f"not used: {line}" for line in _unused(found, chosen)] + [f"unsure: {line}" for line in _remarks(found)]
    return Draft(head, entries, tail)

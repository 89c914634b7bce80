"""Parts of one drive: loggers cut a drive into several files, and people keep the files of many drives in one folder.

Names only propose what may belong together. Content decides: the same channels, and each part beginning when the one
before it ended; or the same container start.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Files, UnreadableRecordingError

SHARED_START: Final = frozenset({"mdf4"})
"""Formats whose loggers write the same header start into every file of one drive (ASAM MDF 4, `hd_start_time`)."""
CONTINUED: Final = frozenset({"mcap", "ros1", "ros2", "candump", "blf", "asc", "comma2k19"})
"""Formats whose recorders begin a new file while the drive goes on."""
WHOLE_FOLDER: Final = frozenset({"images"})
"""Formats whose files in one folder are the messages of one recording."""
MAX_GAP_NS: Final = 5 * NS_PER_S
"""Longest pause between two parts: a recorder opens its next file within a moment, a driver needs longer to return."""
MAX_OVERLAP_NS: Final = NS_PER_S
"""Messages that a recorder had buffered may be older than the last of the file before."""
MIN_SHARED_CHANNELS: Final = 0.5
"""Share of channels that both parts have; a seldom one may be in one part only."""
EARLIEST_START_NS: Final = 1_262_304_000 * NS_PER_S
"""2010-01-01. Loggers whose clock was never set begin every drive at the same earlier instant."""
_NUMBER: Final = re.compile(r"[0-9A-F]*\d[0-9A-F]*")
_TRAILING: Final = re.compile(r"[\s._()-]*#[\s._()#-]*(?=\.[A-Za-z]|$)")


@dataclass(frozen=True, slots=True)
class Part:
    """One file, or one folder of arrays, that may be a part of a drive.

    Attributes:
        name: Its name in its folder.
        files: Its files by name relative to that folder.
    """

    name: str
    files: dict[str, Path]


@dataclass(frozen=True, slots=True)
class _Span:
    """What decides: absolute time where the container states it, else its own clock; and the channels' types."""

    part: Part
    clock: str
    container_start_ns: int | None
    start_ns: int
    end_ns: int
    channels: dict[str, str]


def family(name: str) -> str:
    """What the names of the parts of one drive have in common: everything but numbers, a number at the end not at all.

    >>> family("run_0.bag") == family("run.bag") == family("run_12.bag")
    True
    """
    return _TRAILING.sub("", _NUMBER.sub("#", name))


def _span(part: Part) -> _Span | None:
    """Look into a part; None where it cannot be read, which is then a recording of its own, with its own error."""
    try:
        recording = open_recording(part.files)
    except UnreadableRecordingError:
        return None
    try:
        first_ns, last_ns = recording.extent_ns()
        stated = recording.container_start_ns
        offset = stated - first_ns if recording.clock != "utc" and stated is not None else 0
        clock = "utc" if recording.clock == "utc" or stated is not None else "own"
        channels = {channel.name: channel.type or channel.kind for channel in recording.channels()}
        return _Span(part, clock, stated, first_ns + offset, last_ns + offset, channels)
    except UnreadableRecordingError:
        return None
    finally:
        recording.close()


def _alike(one: _Span, other: _Span) -> bool:
    shared = one.channels.keys() & other.channels.keys()
    every = one.channels.keys() | other.channels.keys()
    same = all(one.channels[name] == other.channels[name] for name in shared)
    return same and len(shared) >= MIN_SHARED_CHANNELS * len(every)


def _continues(before: _Span, after: _Span) -> bool:
    pause_ns = after.start_ns - before.end_ns
    return before.clock == after.clock and -MAX_OVERLAP_NS <= pause_ns <= MAX_GAP_NS and _alike(before, after)


def _chains(spans: Iterable[_Span]) -> Iterator[list[Part]]:
    """Put parts behind each other: each goes to the chain that ended last before it began, else it begins one."""
    chains: list[list[_Span]] = []
    for span in sorted(spans, key=lambda span: (span.start_ns, span.end_ns, span.part.name)):
        ended = [chain for chain in chains if _continues(chain[-1], span)]
        if ended:
            max(ended, key=lambda chain: chain[-1].end_ns).append(span)
        else:
            chains.append([span])
    yield from ([span.part for span in chain] for chain in chains)


def _continued(parts: Sequence[Part]) -> Iterator[list[Part]]:
    proposed: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        proposed[family(part.name)].append(part)
    for members in proposed.values():
        if len(members) == 1:
            yield members
            continue
        spans = {part.name: _span(part) for part in members}
        yield from ([part] for part in members if spans[part.name] is None)
        yield from _chains(span for span in spans.values() if span is not None)


def _shared_start(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Files of one folder that state the same plausible container start; a logger without a clock states none."""
    proposed: dict[int, list[Part]] = defaultdict(list)
    clockless = []
    for part in parts:
        span = _span(part)
        if span is None or span.container_start_ns is None or span.container_start_ns < EARLIEST_START_NS:
            clockless.append(part)
        else:
            proposed[span.container_start_ns].append(part)
    yield from proposed.values()
    yield from _continued(clockless)


def drives(kind: str, parts: Sequence[Part]) -> list[Files]:
    """Put the parts of one folder and format together to drives.

    Args:
        kind: Their format.
        parts: Parts in any order; the result does not depend on it.

    Returns:
        Files of each drive, sorted by the name of its first file.
    """
    ordered = sorted(parts, key=lambda part: part.name)
    groups: Iterable[list[Part]] = ([part] for part in ordered)
    if kind in WHOLE_FOLDER:
        groups = [ordered]
    elif len(ordered) > 1 and kind in SHARED_START:
        groups = _shared_start(ordered)
    elif len(ordered) > 1 and kind in CONTINUED:
        groups = _continued(ordered)
    found = [{name: path for part in members for name, path in part.files.items()} for members in groups]
    return sorted((dict(sorted(files.items())) for files in found), key=min)

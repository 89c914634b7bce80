"""Which pictures of redacted media the auditor looks at. Pure: numbers in, numbers out.

Two samples. The even one stands for all pictures: evenly spread, beginning at a place that the media themselves decide.
The other one goes where redaction fails first: just before a track begins and just after it ends. A hit counts in both.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PHASES = 1 << 32


@dataclass(frozen=True, slots=True)
class SampleRule:
    """How many pictures of one file are looked at.

    Attributes:
        even: Evenly spread ones; all where there are no more.
        at_ends: Ones beside the ends of tracks.
    """

    even: int
    at_ends: int

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> "SampleRule":
        """From the key `sample` of the document `audit`."""
        return cls(policy["even"], policy["at_ends"])


def even_sample(numbers: Sequence[int], count: int, key: str) -> list[int]:
    """So many pictures, evenly spread, with a beginning drawn from a key: a systematic random sample.

    Args:
        numbers: Numbers of all pictures, ascending.
        count: How many; all where there are no more.
        key: What the beginning is drawn from, e.g. the digest of the media.
    """
    if len(numbers) <= count:
        return list(numbers)
    phase = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / _PHASES
    return [numbers[int((place + phase) * len(numbers) / count)] for place in range(count)]


def ends_of_tracks(boxes: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], tuple[int, int]]:
    """First and last picture of each track, by kind and number of the track.

    Args:
        boxes: Rows of `bronze.redaction_boxes` of one file.
    """
    ends: dict[tuple[str, int], tuple[int, int]] = {}
    for row in boxes:
        key, frame = (row["kind"], row["track"]), row["frame"]
        first, last = ends.get(key, (frame, frame))
        ends[key] = (min(first, frame), max(last, frame))
    return ends


def sampled(
    numbers: Sequence[int], ends: Mapping[tuple[str, int], tuple[int, int]], rule: SampleRule, key: str
) -> list[int]:
    """Pictures to look at, ascending.

    Args:
        numbers: Numbers of all pictures, ascending.
        ends: First and last picture of each track.
        rule: How many.
        key: What chance is drawn from.
    """
    beside = {number for first, last in ends.values() for number in (first - 1, last + 1)}
    near = even_sample(sorted(beside.intersection(numbers)), rule.at_ends, key)
    return sorted({*even_sample(numbers, rule.even, key), *near})

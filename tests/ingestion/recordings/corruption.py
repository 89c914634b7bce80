"""Damaged variants of recordings, and reading them in a process of its own with limits on memory and time.

Here belongs how bytes are damaged and how a reader is watched. What an intact file of a format looks like belongs to
that format's tests. `assert_survives` is what they call, once per seed.
"""

import atexit
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

FAST_SEEDS: Final = range(20)
SLOW_SEEDS: Final = range(20, 500)
_HOSTILE: Final = (0xFF, 0x7F, 0x80, 0x00)
_KINDS: Final = (
    "bit_flips",
    "truncated",
    "zeroed_range",
    "swapped_ranges",
    "wrong_length",
    "hostile_size",
    "deleted_range",
    "repeated_range",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of reading one set of files.

    Attributes:
        state: ``read``, ``refused`` (an `UnreadableRecordingError`), ``crashed`` or ``timed_out``.
        messages: Messages by channel.
        losses: (rule, lost bytes, lost messages or None) of each loss.
        detail: The refusal's words, or how the process ended.
    """

    state: str
    messages: Mapping[str, int]
    losses: tuple[tuple[str, int, int | None], ...]
    detail: str

    @property
    def total(self) -> int:
        """Messages of all channels."""
        return sum(self.messages.values())

    @property
    def lost(self) -> int | None:
        """Messages reported as lost; None where a loss could not be counted."""
        counts = [messages for _, _, messages in self.losses]
        return None if any(count is None for count in counts) else sum(count or 0 for count in counts)


def corrupted(content: bytes, seed: int, boundaries: Sequence[int] = ()) -> tuple[str, bytes]:
    """One damaged variant.

    Args:
        content: The intact file.
        seed: Same seed, same damage.
        boundaries: Offsets at which structures begin; half of all damage is done there.

    Returns:
        Kind of the damage and the damaged file.
    """
    rng = random.Random(f"{seed} {len(content)}")  # noqa: S311 - repeatable damage, not a secret
    kind = _KINDS[seed % len(_KINDS)]

    def place() -> int:
        if boundaries and rng.random() < 0.5:
            return min(rng.choice(boundaries), len(content) - 1)
        return rng.randrange(len(content))

    data = bytearray(content)
    if kind == "bit_flips":
        for _ in range(rng.choice((1, 3, 30))):
            data[place()] ^= 1 << rng.randrange(8)
    elif kind in ("wrong_length", "hostile_size"):
        _overwrite_number(data, place(), kind, rng)
    else:
        _move_range(data, place(), place(), kind, rng)
    return kind, bytes(data)


def _overwrite_number(data: bytearray, at: int, kind: str, rng: random.Random) -> None:
    if kind == "hostile_size":
        width = min(rng.choice((4, 8)), len(data) - at)
        data[at : at + width] = bytes([rng.choice(_HOSTILE)]) * width
        return
    width = min(rng.choice((1, 2, 4, 8)), len(data) - at)
    value = int.from_bytes(data[at : at + width], "little") + rng.choice((-1, 1, 7, 255))
    data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")


def _move_range(data: bytearray, at: int, other: int, kind: str, rng: random.Random) -> None:
    size = rng.choice((1, 4, 64, 1000, max(1, len(data) // 10)))
    if kind == "truncated":
        del data[at:]
    elif kind == "zeroed_range":
        data[at : at + size] = bytes(len(data[at : at + size]))
    elif kind == "deleted_range":
        del data[at : at + size]
    elif kind == "repeated_range":
        data[at:at] = data[at : at + size]
    else:
        low, high = sorted((at, other))
        size = min(size, high - low, len(data) - high)
        data[low : low + size], data[high : high + size] = data[high : high + size], data[low : low + size]


class _Server:
    """A warm process that forks a limited reader per request: importing a reader anew each time would cost more."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ingestion.recordings.limited_reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def read(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: Mapping[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)


@lru_cache(maxsize=1)
def _server() -> _Server:
    return _Server()


def read_limited(
    files: Mapping[str, bytes], formats: Sequence[str] = (), table: Mapping[str, Any] | None = None
) -> Outcome:
    """Read files in a process with 2 GB of address space and 20 seconds.

    Args:
        files: Content by name.
        formats: Formats admitted, as a vehicle spec does.
        table: Key `table` of a vehicle spec.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        answer = _server().read({"folder": folder, "names": list(files), "formats": list(formats), "table": table})
    losses = tuple((rule, lost_bytes, messages) for rule, lost_bytes, messages in answer.get("losses", ()))
    return Outcome(answer["state"], answer.get("messages", {}), losses, answer.get("detail", ""))


def assert_survives(
    content: bytes,
    seed: int,
    *,
    name: str,
    formats: Sequence[str],
    intact: int,
    boundaries: Sequence[int] = (),
    others: Mapping[str, bytes] | None = None,
    table: Mapping[str, Any] | None = None,
) -> Outcome:
    """Damage a recording and read it: no crash, no hang, and nothing disappears without a word.

    Args:
        content: The intact file.
        seed: Seed of the damage.
        name: Its name.
        formats: Formats admitted.
        intact: Messages of the intact recording.
        boundaries: Offsets at which structures begin.
        others: Further, intact files of the recording.
        table: Key `table` of a vehicle spec.

    Returns:
        What came of it, for stricter checks by formats that count.
    """
    kind, damaged = corrupted(content, seed, boundaries)
    outcome = read_limited({**(others or {}), name: damaged}, formats, table)
    where = f"seed {seed}, {kind}: {outcome}"
    assert outcome.state in ("read", "refused"), where
    if outcome.state == "refused":
        assert outcome.detail, where
    elif outcome.total < intact and damaged != content:
        assert outcome.losses, f"{intact - outcome.total} of {intact} messages disappeared without a word. {where}"
    return outcome

"""Cutting and weaving keep every message and every stream's own order."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings import windows
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, WINDOW_NS, Batch
from fleet_assets.ingestion.recordings.windows import Chunk, cut, weave

ORIGIN = 7 * NS_PER_S


def chunk(channel: str, stream: int, times_s: list[float], first: int) -> Chunk:
    t_ns = ORIGIN + (np.array(times_s, dtype=np.float64) * NS_PER_S).astype(np.int64)
    number = np.arange(first, first + len(t_ns))
    return (channel, stream), t_ns, {"number": number, "stream": np.full(len(t_ns), stream)}


@st.composite
def sources(draw: st.DrawFn) -> list[list[list[Chunk]]]:
    """A few sources of a few steps; times mostly rise, but clocks may step back."""
    result, stream = [], 0
    for _ in range(draw(st.integers(1, 3))):
        streams = []
        for _ in range(draw(st.integers(1, 2))):
            streams.append((draw(st.sampled_from("ab")), stream))
            stream += 1
        clock, counts = 0.0, dict.fromkeys(streams, 0)
        steps = []
        for _ in range(draw(st.integers(1, 6))):
            step = []
            for name in streams:
                gaps = draw(st.lists(st.floats(-3, 9), max_size=6))
                times = np.maximum(clock + np.cumsum(gaps), 0) if gaps else np.empty(0)
                step.append(chunk(*name, times.tolist(), counts[name]))
                counts[name] += len(times)
            steps.append(step)
            clock += draw(st.floats(0, 15))
        result.append(steps)
    return result


def batches(given_sources: list[list[list[Chunk]]]) -> list[Batch]:
    return list(weave([cut(steps, ORIGIN) for steps in given_sources]))


@settings(deadline=None)
@given(sources())
def test_no_message_is_lost_doubled_or_moved_before_an_earlier_one_of_its_stream(
    given_sources: list[list[list[Chunk]]],
) -> None:
    sent: dict[int, int] = {}
    for steps in given_sources:
        for step in steps:
            for (_, stream), t_ns, _ in step:
                sent[stream] = sent.get(stream, 0) + len(t_ns)
    found: dict[int, list[int]] = {}
    for batch in batches(given_sources):
        for stream, number in zip(batch.columns["stream"].tolist(), batch.columns["number"].tolist(), strict=True):
            found.setdefault(stream, []).append(number)
    assert {stream: len(numbers) for stream, numbers in found.items()} == {s: n for s, n in sent.items() if n}
    assert all(first < second for numbers in found.values() for first, second in pairwise(numbers))


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.lists(st.floats(0, 100), min_size=1, max_size=60))
def test_streams_in_time_order_come_out_in_time_order_each_window_once(first: list[float], second: list[float]) -> None:
    given_sources = [[[chunk("a", 0, sorted(first), 0)]], [[chunk("a", 1, sorted(second), 0)]]]
    found = batches(given_sources)
    times = np.concatenate([batch.t_ns for batch in found])
    assert (np.diff(times) >= 0).all()
    numbers = [set(((batch.t_ns - ORIGIN) // WINDOW_NS).tolist()) for batch in found]
    assert all(len(number) == 1 for number in numbers)
    assert len({min(number) for number in numbers}) == len(numbers)


def test_only_a_few_windows_are_held_back() -> None:
    taken = 0

    def steps() -> Iterator[list[Chunk]]:
        nonlocal taken
        for window in range(100):
            taken = window
            yield [chunk("a", 0, [window * 10.0 + 1], window)]

    for number, _ in enumerate(cut(steps(), ORIGIN)):
        assert taken - number <= 3


def test_a_clock_that_stands_still_does_not_gather_the_whole_recording() -> None:
    limit = windows.MAX_BATCH_ROWS
    rows = limit // 4
    steps = ([chunk("a", 0, [1.0] * rows, step * rows)] for step in range(20))
    sizes = [len(batch) for batch in weave([cut(steps, ORIGIN)])]
    assert sum(sizes) == 20 * rows
    assert max(sizes) <= limit + rows

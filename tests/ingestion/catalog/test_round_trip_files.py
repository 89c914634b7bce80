"""What a file of sweeps or media has, held against the rows that lead to it."""

import importlib
import inspect
from typing import Any

import numpy as np
import pytest

from fleet_assets.ingestion.media.times import MediaTimes
from fleet_assets.ingestion.metadata_extraction_and_catalog.round_trip import media_problem, sweeps_problem
from tests.gate_mutants import answers as answered
from tests.gate_mutants import built, mutants

MODULE = "fleet_assets.ingestion.metadata_extraction_and_catalog.round_trip"


def held_sweeps(*starts: int, first: tuple[int, ...] = (0, 5), points: tuple[int, ...] = (5, 5)) -> Any:
    return lambda look: look(*(np.array(one, np.int64) for one in (starts, first, points)))


def held_media(pictures: int = 3, first: int | None = None, length: int = 100) -> Any:
    return lambda look: look(MediaTimes(pictures, first, length, 10), 3, 1000, 1100)


FILES: dict[str, list[tuple[Any, str]]] = {
    "sweeps_problem": [
        (held_sweeps(0, 5, 10), ""),
        (held_sweeps(0, first=(), points=()), ""),
        (held_sweeps(0, 5), "1 sweeps are in it, 2 rows lead to it"),
        (held_sweeps(0, 5, 10, 15), "3 sweeps are in it"),
        (held_sweeps(0, 5, 11), "its sweep 1 has 6 points from 5 on, the row says 5 from 5 on"),
        (held_sweeps(1, 6, 11), "its sweep 0 has 5 points from 1 on, the row says 5 from 0 on"),
    ],
    "media_problem": [
        (held_media(), ""),
        (held_media(first=1000), ""),
        (held_media(first=999), "its pictures begin at 999, its row says 1000"),
        (held_media(2), "2 pictures are in it, its row says 3"),
        (held_media(4), "4 pictures are in it"),
        (held_media(length=110), ""),
        (held_media(length=90), ""),
        (held_media(length=111), "its pictures take 111 ns, its row says 100 ns"),
        (held_media(length=89), "its pictures take 89 ns"),
    ],
}


@pytest.mark.parametrize(("name", "look"), [("sweeps_problem", sweeps_problem), ("media_problem", media_problem)])
def test_a_file_is_held_against_its_rows_and_no_comparison_can_be_turned_round(name: str, look: Any) -> None:
    cases = [case for case, _ in FILES[name]]
    expected = answered(look, cases)
    for said, (_, begin) in zip(expected, FILES[name], strict=True):
        assert said.startswith(begin) if begin else not said
    module = importlib.import_module(MODULE)
    found = list(mutants(inspect.getsource(module), (name,)))
    assert len(found) >= 2
    assert [one.place for one in found if answered(getattr(built(one.tree, module), name), cases) == expected] == []

"""The common vocabulary of signals."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import InvalidPolicyError, load_policies

DOCUMENT = load_policies()["canonical_signals"]


def test_the_shipped_vocabulary_is_parsed_in_document_order() -> None:
    canonical = parse_canonical_signals(DOCUMENT, "digest")
    assert list(canonical.signals) == list(DOCUMENT["signals"])
    assert canonical.grid_ms == 100
    assert canonical.signals["speed_mps"].range == (-20.0, 100.0)
    spike = canonical.signals["accel_long_mps2"].spike
    assert spike is not None
    assert (spike.neighbours, spike.threshold) == (5, 15.0)
    assert canonical.signals["track_distance_m"].track_column == "distance_m"
    assert "track_distance_m" not in [signal.name for signal in canonical.on_grid]
    role = canonical.with_role("utc_offset")
    assert role is not None
    assert role.unit == "s"
    assert canonical.with_role("none") is None
    assert canonical.lead is not None
    assert canonical.lead.distance_column == "lead_distance_m"
    assert canonical.digest == "digest"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["signals"]["speed_mps"].update(unit="warp"), "signals/speed_mps/unit: unit 'warp' is not known"),
        (lambda d: d["signals"]["speed_mps"].update(range=[5, 5]), "signals/speed_mps/range: .* is empty"),
        (lambda d: d["signals"]["speed_mps"].pop("resample"), "signals/speed_mps: on the grid without resample"),
        (lambda d: d["signals"]["speed_mps"].update(role="utc_offset"), "role 'utc_offset' is given to two signals"),
        (lambda d: d["lead"]["columns"].update(distance="gap_m"), "lead: 'gap_m' is no signal"),
    ],
)
def test_contradictions_are_named(change: Callable[[dict[str, Any]], None], message: str) -> None:
    changed = copy.deepcopy(dict(DOCUMENT))
    change(changed)
    with pytest.raises(InvalidPolicyError, match=message):
        parse_canonical_signals(changed, "digest")

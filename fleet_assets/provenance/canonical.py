"""The one byte form of a JSON value, on which digests and signatures rest.

Here belongs only the encoding. What is digested or signed, and why, is its user's business.
"""

import json
import math
from collections.abc import Mapping
from numbers import Integral, Real


class NotCanonicalError(ValueError):
    """A value that has no canonical JSON form; the message names its place, the rule and the remedy."""


def canonical_json(value: object) -> bytes:
    """Encode a JSON value so that equal values have equal bytes: sorted keys, no spaces, UTF-8.

    Floats are written as the shortest text that reads back as the same float (`repr`), so nothing is rounded. NumPy
    scalars are written as the Python number they equal; tuples as lists.

    Args:
        value: None, bool, number, text, or a list, tuple or mapping (with text keys) of these.

    Raises:
        NotCanonicalError: For NaN and infinities, keys that are not text, text that is not valid Unicode, and types
            that JSON does not know.
    """
    text = json.dumps(_plain(value, "$"), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise NotCanonicalError(
            f"text holds {text[error.start]!r}, which is not valid Unicode. Decode the text with its real encoding."
        ) from error


def _plain(value: object, place: str) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return _finite(float(value), place)
    if isinstance(value, Mapping):
        return {_text_key(key, place): _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise NotCanonicalError(
        f"{place} is of type {type(value).__name__}, which JSON does not know. "
        "Give None, bool, int, float, str, list or dict (arrays: .tolist(), dataclasses: dataclasses.asdict)."
    )


def _finite(number: float, place: str) -> float:
    if not math.isfinite(number):
        raise NotCanonicalError(
            f"{place} is {number}, which JSON cannot hold and which is unequal to itself or unbounded. "
            "Leave the key out or write None."
        )
    return number


def _text_key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise NotCanonicalError(
            f"{place} has the key {key!r} of type {type(key).__name__}; JSON would turn it into text and could make "
            "two keys one. Use text keys."
        )
    return key

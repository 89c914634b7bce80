"""Numbers and points out of the cells of a text table, a block at a time.

Here belong the cells' syntax and what becomes of cells that do not keep it: they are marked, never guessed. Times are
read by `text_times.py`.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Numbers = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Values, NaN where a cell is empty, and which cells are neither empty nor a number."""

_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,6})?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_NONE: Final = frozenset({"", "null", "none", "na", "n/a"})
# Well-known text of a point, ISO 19125-1: POINT, perhaps Z or M, and two to four numbers in brackets.
_POINT: Final = r"(?i)^\s*POINT\s*(?:ZM|Z|M)?\s*\(\s*(?P<x>[^\s()]+)\s+(?P<y>[^\s()]+)(?:\s+[^\s()]+){0,2}\s*\)\s*$"
_PLAIN: Final = "POINT("
POINT_PARTS: Final = ("x", "y")


def texts(array: Any) -> list[str]:
    """Cells as text; bytes that are not UTF-8 are taken for Windows-1252, what is no character becomes a mark."""
    cells = array.cast(pa.binary()).to_pylist() if pa.types.is_string(array.type) else array.to_pylist()
    return [_text(cell) for cell in cells]


def _text(cell: Any) -> str:
    if not isinstance(cell, bytes):
        return "" if cell is None else str(cell)
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell.decode("cp1252", "replace")


def _number(cell: str) -> float | None:
    """One cell's number; None where it is neither empty nor a number."""
    cell = cell.strip()
    if cell.lower() in _NONE:
        return np.nan
    return float(cell) if _NUMBER.fullmatch(cell) else None


def numbers(array: Any) -> Numbers:
    """Read cells as numbers.

    Args:
        array: Arrow array of strings (as in the file) or of numbers (where the format has numbers of its own).
    """
    if not pa.types.is_string(array.type):
        values = np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
        return values, np.zeros(len(values), dtype=np.bool_)
    try:
        values = np.asarray(pc.cast(array, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except pa.ArrowInvalid:
        found = [_number(cell) for cell in texts(array)]
        bad = np.array([value is None for value in found], dtype=np.bool_)
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64), bad
    return values, np.zeros(len(values), dtype=np.bool_)


def point_parts(array: Any) -> dict[str, Any]:
    """Coordinates of a column of well-known-text points, as strings by part; null where a cell is no point."""
    if not pa.types.is_string(array.type):
        return {part: pa.nulls(len(array), pa.string()) for part in POINT_PARTS}
    if found := _plain_points(array):
        return found
    points = pc.extract_regex(array, _POINT)
    return {part: pc.struct_field(points, part) for part in POINT_PARTS}


def _plain_points(array: Any) -> dict[str, Any] | None:
    """The same, ten times faster, where every cell is spelt ``POINT(x y)``; None where one is not."""
    ends = pc.and_(pc.starts_with(array, _PLAIN), pc.ends_with(array, ")"))
    if array.null_count or not pc.all(ends).as_py():
        return None
    pairs = pc.split_pattern(pc.binary_slice(array.cast(pa.binary()), len(_PLAIN), -1), " ")
    if not pc.all(pc.equal(pc.list_value_length(pairs), len(POINT_PARTS))).as_py():
        return None
    flat = pc.list_flatten(pairs).cast(pa.string())
    count = len(POINT_PARTS)
    return {part: flat.take(pa.array(np.arange(place, len(flat), count))) for place, part in enumerate(POINT_PARTS)}


def is_point_column(array: Any) -> bool:
    """Whether most cells of a column are well-known-text points."""
    if not len(array) or not pa.types.is_string(array.type):
        return False
    return bool(len(array) < 2 * (len(array) - point_parts(array)["x"].null_count))


def is_number_column(array: Any) -> bool:
    """Whether most cells of a column that are not empty are numbers, and any is."""
    values, bad = numbers(array)
    good = int(np.isfinite(values).sum())
    return good > 0 and good > int(bad.sum())


def column_of(cells: Sequence[Any]) -> Any:
    """Arrow array of a column of JSON values: numbers where all are numbers, else text.

    Numbers among text keep their shortest spelling; truth values, lists and objects become their JSON text, which is
    neither a number nor a time.
    """
    if cells and isinstance(cells[0], str):
        try:
            return pa.array(cells, pa.string())
        except (pa.ArrowTypeError, UnicodeEncodeError):
            pass
    kinds = set(map(type, cells)) - {type(None)}
    if kinds <= {str}:
        # There may be a lone surrogate, which JSON can spell.
        cells = [None if cell is None else cell.encode("utf-8", "replace").decode() for cell in cells]
        return pa.array(cells, pa.string())
    if kinds in ({int}, {float}):
        try:
            return pa.array(cells, pa.int64() if kinds == {int} else pa.float64())
        except (OverflowError, pa.ArrowInvalid):
            pass
    return pa.array([None if cell is None else _spelt(cell) for cell in cells], pa.string())


def _spelt(cell: Any) -> str:
    if isinstance(cell, str):
        return cell.encode("utf-8", "replace").decode()
    if isinstance(cell, float) or type(cell) is int:
        try:
            return repr(cell)
        except ValueError:  # more digits than Python prints
            return "inf"
    return json.dumps(cell)

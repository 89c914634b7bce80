"""JSON objects that are all written alike, as columns: most point lists, read in a third of the time of any parser.

Objects are alike when they are flat, have the same names in the same order with the same bytes between their values,
and spell their texts without escapes. That is checked for every object and byte; what is not alike, or no JSON, is left
to the parser. Here belongs nothing that the parser would not read in the same way.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.tables.text_cells import column_of

_QUOTE: Final = 34
_SPACE: Final = 32
_LEAST: Final = 2
_MOST_PADDED: Final = 8
"""Cells are cut out at the width of the widest: where that makes so many times the text, the parser is the faster."""
_COLON: Final = re.compile(rb"\s*:\s*")
_BARE: Final = re.compile(rb"(\s*:\s*)([-+.0-9a-zA-Z]+)(\s*[,}][\s\S]*)")
_TURN: Final = re.compile(rb"\s*,\s*\{\s*")
_BARE_BYTES: Final = np.isin(np.arange(256), np.frombuffer(b"+-.0123456789", np.uint8)) | np.isin(
    np.arange(256) | 32, np.arange(ord("a"), ord("z") + 1)
)
_Cells = tuple[NDArray[np.int64], NDArray[np.int64], bool]
"""Where the values of one name begin and end, and whether they are texts."""


@dataclass(frozen=True, slots=True)
class EvenObjects:
    """Objects of a stretch, by name.

    Attributes:
        first: The first of them.
        count: How many.
        columns: Arrow array by name: texts, or what JSON has else.
    """

    first: dict[str, Any]
    count: int
    columns: Mapping[str, Any]

    def __len__(self) -> int:
        return self.count

    def column(self, name: str) -> Any:
        """Values of one name; nulls where the objects have none of it."""
        found = self.columns.get(name)
        return column_of([None] * self.count) if found is None else found


class _Text:
    """Text whose bytes are compared and cut out at many places at once."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size = content, len(content)
        self.array = np.frombuffer(content, np.uint8)
        self._padded = content

    def windows(self, places: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
        """Bytes from each place on, uint8[n, width]; zeros behind the end."""
        if len(self._padded) < self.size + width:
            self._padded = self.content + bytes(width)
        kinds: NDArray[Any] = np.ndarray((len(self._padded) - width + 1,), f"V{width}", self._padded, strides=(1,))
        found: NDArray[np.uint8] = kinds[places].view(np.uint8).reshape(len(places), width)
        return found

    def are(self, begins: NDArray[np.int64], ends: NDArray[np.int64], wanted: bytes) -> bool:
        """Whether the same bytes lie in all spans."""
        if not ((ends - begins) == len(wanted)).all():
            return False
        return bool((self.windows(begins, len(wanted)) == np.frombuffer(wanted, np.uint8)).all()) if wanted else True

    def cells(self, begins: NDArray[np.int64], ends: NDArray[np.int64], behind: bytes = b"") -> bytes | None:
        """Spans one behind the other, each followed by some bytes; None where they differ too much in length."""
        sizes = ends - begins
        width = int(sizes.max())
        if width * len(begins) > _MOST_PADDED * self.size:
            return None
        rows = self.windows(begins, width) if width else np.empty((len(begins), 0), np.uint8)
        if behind:
            rows = np.pad(rows, ((0, 0), (0, len(behind))))
            rows[np.arange(len(rows))[:, None], sizes[:, None] + np.arange(len(behind))] = np.frombuffer(
                behind, np.uint8
            )
            sizes, width = sizes + len(behind), width + len(behind)
        even = bool((sizes == width).all())
        return rows.tobytes() if even else rows[np.arange(width) < sizes[:, None]].tobytes()


def _places(content: bytes, places: NDArray[np.int64], names: Sequence[str]) -> dict[str, _Cells] | None:
    """Cells by name as the first object has them; `places` are the quotation marks, int64[n, per object]."""
    per_object, found = places.shape[1], dict[str, _Cells]()
    following = np.append(places[1:, 0], len(content))
    at = 0
    for name in names:
        if at + 1 >= per_object or content[places[0, at] + 1 : places[0, at + 1]].decode() != name:
            return None
        gap_at, after = places[:, at + 1], places[:, at + 2] if at + 2 < per_object else following
        gap = content[gap_at[0] + 1 : after[0]]
        bare = _BARE.fullmatch(gap)
        if at + 3 < per_object and _COLON.fullmatch(gap):
            found[name] = (places[:, at + 2] + 1, places[:, at + 3], True)
            at += 4
        elif bare is not None:
            ends = after - len(bare[3])
            if at + 2 >= per_object:
                # Nothing but the end stands behind the last one.
                ends[-1] = len(content) - len(bare[3].split(b"}", 1)[0]) - 1
            found[name] = (gap_at + 1 + len(bare[1]), ends, False)
            at += 2
        else:
            return None
    return found if at == per_object else None


def _alike(text: _Text, cells: Sequence[_Cells], end: int) -> int:
    """Control characters between the values of all objects; -1 where the objects are not alike."""
    control = 0
    for (_, before, _), (after, _, _) in zip(cells, cells[1:], strict=False):
        between = text.content[before[0] : after[0]]
        if not text.are(before, after, between):
            return -1
        control += len(before) * sum(byte < _SPACE for byte in between)
    last, first = cells[-1][1], cells[0][0]
    turn = text.content[last[0] : first[1]]
    if not text.are(last[:-1], first[1:], turn) or text.content[last[-1] :] != text.content[last[0] : end]:
        return -1
    inside = text.content[: first[0]] + text.content[last[-1] :]
    return control + (len(last) - 1) * sum(byte < _SPACE for byte in turn) + sum(byte < _SPACE for byte in inside)


def _column(text: _Text, begins: NDArray[np.int64], ends: NDArray[np.int64], *, is_text: bool) -> Any:
    """Arrow array of one name's values; None where they cannot be cut out, or are no JSON."""
    if (ends < begins).any():
        return None
    joined = text.cells(begins, ends, b"" if is_text else b",")
    if joined is None:
        return None
    if is_text:
        offsets = np.zeros(len(begins) + 1, np.int32)
        np.cumsum(ends - begins, out=offsets[1:])
        return pa.StringArray.from_buffers(len(begins), pa.py_buffer(offsets), pa.py_buffer(joined))
    if not (_BARE_BYTES | (np.arange(256) == ord(",")))[np.frombuffer(joined, np.uint8)].all():
        return None
    values = orjson.loads(b"[" + joined[:-1] + b"]")
    return column_of(values) if len(values) == len(begins) else None


def _is_text(content: bytes) -> bool:
    try:
        return content.isascii() or bool(content.decode())
    except UnicodeDecodeError:
        return False


def even_objects(content: bytes) -> EvenObjects | None:
    """Objects with commas between them, if they are all written alike; None where they are not.

    Args:
        content: The objects, without the brackets of their list.
    """
    end = content.find(b"}") + 1
    per_object = content.count(b'"', 0, end)
    if not end or per_object < _LEAST or b"\\" in content or not _is_text(content):
        return None
    text = _Text(content)
    quotes = np.flatnonzero(text.array == _QUOTE)
    is_whole = len(quotes) >= _LEAST * per_object and not len(quotes) % per_object
    if not is_whole or not _TURN.fullmatch(content, end, int(quotes[per_object])):
        return None
    try:
        first = orjson.loads(content[:end])
        columns = _columns(text, quotes.reshape(-1, per_object), list(first), end) if isinstance(first, dict) else {}
    except ValueError:
        return None
    return EvenObjects(first, len(quotes) // per_object, columns) if columns else None


def _columns(text: _Text, quotes: NDArray[np.int64], names: Sequence[str], end: int) -> dict[str, Any]:
    """Columns by name; none where the objects are not alike.

    Raises:
        ValueError: When something is no JSON.
    """
    cells = _places(text.content, quotes, names) if names else None
    # A control character in a text is no JSON.
    if not cells or _alike(text, list(cells.values()), end) != int((text.array < _SPACE).sum()):
        return {}
    columns = {name: _column(text, begins, ends, is_text=is_text) for name, (begins, ends, is_text) in cells.items()}
    return {} if any(column is None for column in columns.values()) else columns

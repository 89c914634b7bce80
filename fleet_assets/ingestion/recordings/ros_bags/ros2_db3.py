"""SQLite files of ROS 2 bags: topics, definitions, and messages in the order in which they were written.

Here belongs reading one file, past damaged pages too: SQLite itself tells broken pages from sound ones, so what lies
behind a broken one is found by asking for later row numbers. Files are opened immutable: nothing is written beside
them. APSW gives a row out in half the time that Python's own ``sqlite3`` needs, and comes with one known SQLite.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apsw
import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.recordings.ros_bags.sqlite_files import open_read_only
from fleet_assets.ingestion.recordings.ros_bags.typed_topics import Topic

MAGIC: Final = b"SQLite format 3\x00"
MAX_MESSAGE_BYTES: Final = 1 << 28
MAX_TIME_NS: Final = 1 << 62
UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, what could be read is used."
_MAX_TOPICS: Final = 100_000
_MAX_PROBES: Final = 20_000
_STEP_OPS: Final = 100_000
_MAX_STEPS: Final = 5_000
"""Upper limit of what one question may cost, in hundred thousands of SQLite's own operations."""
_LAST_ROW: Final = (1 << 63) - 1
_FIRST_ROW: Final = -(1 << 63)
_PRAGMAS: Final = (
    # Without it SQLite refuses a file that was cut off; nothing is written all the same.
    "writable_schema=ON",
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "query_only=ON",
    "temp_store=MEMORY",
)
_UTF8: Final = "UTF-8"
_BACKWARD: Final = "row numbers run backward"
_STEP_BYTES: Final = 1 << 22
_ROW_BYTES: Final = 512
"""What a row counts for beyond its message, so that a step of tiny messages stays small too."""
_FIRST_ROWS: Final = 8
_MOST_ROWS: Final = 256
"""Rows taken at once: from few on, so that large messages are met before many are asked for."""
Row = tuple[int, int, int, bytes]
"""Row number, topic, time stamp in ns (negative where the row is not as it should be), message."""
Step = dict[int, tuple[NDArray[np.int64], list[bytes]]]
"""Times and messages by topic."""


def is_sqlite(head: bytes) -> bool:
    """Whether a file begins as a SQLite database does."""
    return head.startswith(MAGIC)


def _raw(column: str) -> str:
    """A column of text as bytes: damaged ones need not be what the file's encoding allows."""
    return f"CAST({column} AS BLOB)"


def _columns_of_rows(*, with_data: bool) -> str:
    """Row number, topic, time and message, each of one type whatever is stored; rows where it is not have no time."""
    # What is a blob already is given out as it is: a cast would copy it.
    data = "iif(typeof(data) = 'blob', data, ifnull(CAST(data AS BLOB), x''))" if with_data else "x''"
    filled = "AND typeof(data) <> 'null'" if with_data else ""
    topic = f"iif(typeof(topic_id) = 'integer', topic_id, {_FIRST_ROW})"
    return f"rowid, {topic}, iif(typeof(timestamp) = 'integer' {filled}, timestamp, -1), {data}"


class _Held:
    """Rows read since the last step; nothing is looked at row by row.

    Attributes:
        last: Number of the last row that was given out.
        wrong: Rows that hold no time, no known topic or no message.
    """

    def __init__(self, topics: Collection[int]) -> None:
        self._topics = topics
        self.last, self.wrong = _FIRST_ROW - 1, 0
        self._rows: tuple[list[int], list[int], list[int], list[bytes]] = ([], [], [], [])
        self._bytes = 0
        self._largest = 1

    def read(self, rows: Iterator[Row]) -> Iterator[Step]:
        """Take rows and give them out in steps.

        Raises:
            apsw.Error: When a row cannot be read, or their numbers run backward; what came before was given out.
        """
        count = _FIRST_ROWS
        while True:
            taken: list[Row] = []
            failed: apsw.Error | None = None
            try:
                taken.extend(islice(rows, count))
            except apsw.Error as error:
                failed = error  # what came before it is in the list already
            self._hold(taken)
            is_end = failed is not None or len(taken) < count
            if is_end or self._bytes > _STEP_BYTES:
                step, is_forward = self._flush()
                yield step
                if not is_forward:
                    raise apsw.CorruptError(_BACKWARD)
            if failed is not None:
                raise failed
            if is_end:
                return
            count = max(1, min(2 * count, _MOST_ROWS, _STEP_BYTES // self._largest))

    def _hold(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        numbers, topics, times, payloads = zip(*rows, strict=True)
        held = self._rows
        held[0].extend(numbers)
        held[1].extend(topics)
        held[2].extend(times)
        held[3].extend(payloads)
        sizes = list(map(len, payloads))
        self._bytes += sum(sizes) + _ROW_BYTES * len(rows)
        self._largest = max(self._largest, *sizes)

    def _flush(self) -> tuple[Step, bool]:
        """Give out what there is up to where row numbers run backward, and whether they nowhere do."""
        *columns, payloads = self._rows
        numbers, topics, times = (np.fromiter(column, np.int64, len(column)) for column in columns)
        self._rows = ([], [], [], [])
        self._bytes = 0
        forward = np.append(numbers[:1] > self.last, numbers[1:] > numbers[:-1])[: len(numbers)]
        end = len(numbers) if forward.all() else int(np.argmin(forward))
        if not end:
            return {}, bool(forward.all())
        self.last = int(numbers[end - 1])
        order = np.argsort(topics[:end], kind="stable")
        fits = (times[order] >= 0) & (times[order] < MAX_TIME_NS)
        order = order[fits]
        step: Step = {}
        for rows in np.split(order, np.flatnonzero(np.diff(topics[order])) + 1):
            if len(rows) and (topic := int(topics[rows[0]])) in self._topics:
                step[topic] = times[rows], list(map(payloads.__getitem__, rows.tolist()))
        self.wrong += end - sum(len(held) for held, _ in step.values())
        return step, end == len(numbers)


class Db3File:
    """One SQLite file of a bag.

    Args:
        path: Where the bytes are.
        name: Relative name inside the drive.

    Attributes:
        topics: Topic by its number in the file.
        extent_ns: First and last time stamp.
        damaged_rows: Row numbers (last read before, first read after) around damage; None at the end.
        wrong_rows: Rows whose values are not what the table's columns should hold.
        problem: What SQLite said of the first damage.

    Raises:
        UnreadableRecordingError: When it is no bag, or its schema is lost.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name, self.size = name, path.stat().st_size
        self.damaged_rows: list[tuple[int, int | None]] = []
        self.wrong_rows = 0
        self.problem = ""
        self._probes = 0
        self._steps = _MAX_STEPS
        self._database = open_read_only(path, MAX_MESSAGE_BYTES)
        self._database.set_progress_handler(self._is_endless, _STEP_OPS)
        try:
            for pragma in _PRAGMAS:
                self._database.execute(f"PRAGMA {pragma}")
            self._encoding = str(self._ask("PRAGMA encoding")[0][0])
            self._check_schema()
            self.topics: Mapping[int, Topic] = self._topics()
            self.extent_ns = self._extent()
        except (apsw.Error, OverflowError) as error:
            self.close()
            raise UnreadableRecordingError(
                name,
                "damaged_schema",
                value=f"{error} where the tables are described",
                limit="a ROS 2 bag",
                remedy=f"Nothing can be read without it. {UPLOAD_AGAIN}",
            ) from error
        except UnreadableRecordingError:
            self.close()
            raise

    def _ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a question that is cheap in any honest file; ends with an error where it is not."""
        self._steps = _MAX_STEPS
        with closing(self._database.execute(question, values)) as cursor:
            return list(islice(cursor, _MAX_TOPICS))

    def _text(self, value: bytes | None) -> str:
        return (value or b"").decode(self._encoding, "replace")

    def _utf8(self, value: bytes) -> bytes:
        return value if self._encoding == _UTF8 else self._text(value).encode()

    def _is_endless(self) -> bool:
        self._steps -= 1
        return self._steps < 0

    def _columns(self, table: str) -> set[str]:
        # hidden is 0 for columns that are stored as they are.
        question = f"SELECT {_raw('name')} FROM pragma_table_xinfo(?) WHERE hidden = 0"  # noqa: S608 - a constant
        return {self._text(row[0]) for row in self._ask(question, table)}

    def _check_schema(self) -> None:
        tables = self._ask(f"SELECT {_raw('name')} FROM sqlite_master WHERE type = 'table'")  # noqa: S608 - a constant
        found = {self._text(row[0]) for row in tables}
        for table, wanted in (("topics", {"id", "name", "type"}), ("messages", {"topic_id", "timestamp", "data"})):
            if table not in found or not wanted <= self._columns(table):
                raise UnreadableRecordingError(
                    self.name,
                    "wrong_schema",
                    value=f"tables {', '.join(sorted(found)[:10]) or 'none'}",
                    limit=f"a table {table} with {', '.join(sorted(wanted))}",
                    remedy="This SQLite file is no ROS 2 bag; leave it out.",
                )

    def _definitions(self) -> dict[str, tuple[str, bytes]]:
        if not {"topic_type", "encoding", "encoded_message_definition"} <= self._columns("message_definitions"):
            return {}
        columns = ", ".join(map(_raw, ("topic_type", "encoding", "encoded_message_definition")))
        with suppress(apsw.Error):
            rows = self._ask(f"SELECT {columns} FROM message_definitions")  # noqa: S608 - constants
            return {self._text(kind): (self._text(encoding), self._utf8(text)) for kind, encoding, text in rows if text}
        return {}

    def _topics(self) -> dict[int, Topic]:
        definitions = self._definitions()
        names = ["name", "type", *({"serialization_format"} & self._columns("topics"))]
        columns = ", ".join(map(_raw, names))
        found = {}
        for number, *texts in self._ask(f"SELECT id, {columns} FROM topics WHERE typeof(id) = 'integer' ORDER BY id"):  # noqa: S608 - constants
            name, kind, form = [*map(self._text, texts), "cdr"][:3]
            definition_encoding, definition = definitions.get(kind, ("", b""))
            found[number] = Topic(name, kind, form, definition_encoding, definition)
        return found

    def _extent(self) -> tuple[int, int] | None:
        usable = "typeof(timestamp) = 'integer' AND timestamp >= 0 AND timestamp < 4611686018427387904"
        try:
            # One after the other, each is a look at one end of the index.
            ends = [
                self._ask(f"SELECT timestamp FROM messages WHERE {usable} ORDER BY timestamp {way} LIMIT 1")  # noqa: S608 - constants
                for way in ("ASC", "DESC")
            ]
        except apsw.Error as error:
            self.problem = str(error)
            low, high = MAX_TIME_NS, -1
            for step in self.steps(with_data=False):
                for times, _ in step.values():
                    low, high = min(low, int(times.min())), max(high, int(times.max()))
            return (low, high) if high >= 0 else None
        return (ends[0][0][0], ends[1][0][0]) if all(ends) else None

    def index_count(self) -> int | None:
        """Rows of the table by the shortest way, normally its index over time; None where that is damaged."""
        with suppress(apsw.Error):
            return int(self._ask("SELECT count(*) FROM messages")[0][0])
        return None

    def embedded_metadata(self) -> bytes | None:
        """The metadata that recorders since ROS 2 Iron write into the file itself."""
        with suppress(apsw.Error):
            if "metadata" in self._columns("metadata"):
                rows = self._ask(f"SELECT {_raw('metadata')} FROM metadata ORDER BY rowid DESC LIMIT 1")  # noqa: S608 - a constant
                return self._utf8(rows[0][0]) if rows and rows[0][0] is not None else None
        return None

    def steps(self, topics: Collection[int] | None = None, *, with_data: bool = True) -> Iterator[Step]:
        """Yield the messages in the order of their row numbers, past damage too, some megabytes at a time.

        Args:
            topics: Topics to read; all when None.
            with_data: Whether to read the messages themselves, else they are empty.
        """
        self.damaged_rows.clear()
        self._probes = 0
        columns = _columns_of_rows(with_data=with_data)
        chosen = "" if topics is None else f"AND topic_id IN ({','.join(str(int(topic)) for topic in sorted(topics))})"
        # An index that is damaged must not decide which rows are found.
        question = f"SELECT {columns} FROM messages NOT INDEXED WHERE rowid >= ? {chosen} ORDER BY rowid"  # noqa: S608 - constants, integers
        held = _Held(self.topics)
        while held.last < _LAST_ROW:
            try:
                for step in held.read(self._database.execute(question, (held.last + 1,))):
                    yield step
                    self._steps = _MAX_STEPS
            except apsw.Error as error:
                self.problem = self.problem or str(error)
            else:
                break
            found = self._past_damage(question, held.last)
            if found is None:
                break
            yield from held.read(iter([found]))
        self.wrong_rows = held.wrong

    def _probe(self, question: str, start: int) -> Row | None:
        """First row from a row number on; None at the end of the table.

        Raises:
            apsw.Error: When that row cannot be read.
        """
        self._probes += 1
        self._steps = _MAX_STEPS
        with closing(self._database.execute(f"{question} LIMIT 1", (start,))) as cursor:
            row: Row | None = next(cursor, None)
        if row is not None and row[0] < start:
            raise apsw.CorruptError(_BACKWARD)
        return row

    def _past_damage(self, question: str, last: int) -> Row | None:
        """Find the first row after damage: longer and longer steps, then halving; None where no more comes."""
        found: dict[int, Row | None] = {}

        def is_sound(at: int) -> bool:
            try:
                found[at] = self._probe(question, at)
            except apsw.Error:
                return False
            return True

        # Recorders number from 1; whatever else is there comes with the halving.
        start = max(last, 0) + 1
        if is_sound(start):
            return found[start]
        broken, step, sound = start, 1, min(start + 1, _LAST_ROW)
        while not is_sound(sound):
            if sound == _LAST_ROW or self._probes > _MAX_PROBES:
                self.damaged_rows.append((last, None))
                return None
            broken, step = sound, step * 2
            sound = min(sound + step, _LAST_ROW)
        while sound - broken > 1 and self._probes <= _MAX_PROBES:
            middle = (sound + broken) // 2
            if is_sound(middle):
                sound = middle
            else:
                broken = middle
        row = found[sound]
        self.damaged_rows.append((last, None if row is None else row[0]))
        return row

    def rows_around_damage(self) -> int | None:
        """Rows missing around damage by their numbers, which recorders count from 1; None where the end is damaged."""
        missing = 0
        for last, first in self.damaged_rows:
            if first is None:
                return None
            missing += max(0, first - 1 - max(last, 0))
        return missing

    def close(self) -> None:
        """Close the database."""
        self._database.close()

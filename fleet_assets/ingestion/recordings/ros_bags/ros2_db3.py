"""SQLite files of ROS 2 bags: topics, definitions, and messages in the order in which they were written.

Here belongs reading one file, past damaged pages too: SQLite itself tells broken pages from sound ones, so what lies
behind a broken one is found by asking for later row numbers. Files are opened immutable: nothing is written beside
them.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import compress, islice
from operator import lt
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
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
_BACKWARD: Final = "row numbers run backward"
_STEP_BYTES: Final = 1 << 22
_ROW_BYTES: Final = 512
"""What a row counts for beyond its message, so that a step of tiny messages stays small too."""
_FIRST_ROWS: Final = 8
_MOST_ROWS: Final = 256
"""Rows taken at once: from few on, so that large messages are met before many are asked for."""
Row = tuple[int, int, int, bytes]
"""Row number, topic, time stamp in ns, message."""
Step = dict[int, tuple[list[int], list[bytes]]]
"""Times and messages by topic."""


def is_sqlite(head: bytes) -> bool:
    """Whether a file begins as a SQLite database does."""
    return head.startswith(MAGIC)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1", uri=True)
    connection.text_factory = bytes
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_MESSAGE_BYTES)
    return connection


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


class _Held:
    """Rows read since the last step, and the number of the last one."""

    def __init__(self, topics: Collection[int], wrong: Counter[int]) -> None:
        self._topics, self.wrong = topics, wrong
        self.last = _FIRST_ROW - 1
        self.step: Step = {topic: ([], []) for topic in topics}
        self._bytes = 0
        self._largest = 1

    def read(self, rows: Iterator[Row]) -> Iterator[Step]:
        """Take rows; yields when there is enough for a step.

        Raises:
            sqlite3.Error: When a row cannot be read; ``last`` is then the number of the last that could.
        """
        count = _FIRST_ROWS
        while True:
            taken: list[Row] = []
            failed: sqlite3.Error | None = None
            try:
                taken.extend(islice(rows, count))
            except sqlite3.Error as error:
                failed = error  # what came before it is in the list already
            for row in taken if not self._take_all(taken) else ():
                self._take(row)
            if self._bytes > _STEP_BYTES:
                yield self.flush()
            if failed is not None:
                raise failed
            if len(taken) < count:
                return
            count = max(1, min(2 * count, _MOST_ROWS, _STEP_BYTES // self._largest))

    def _take_all(self, rows: Sequence[Row]) -> bool:
        """Take rows that are all as they should be, column by column; False when one is not."""
        if not rows:
            return True
        numbers, topics, times, payloads = zip(*rows, strict=True)
        ascending = numbers[0] > self.last and all(map(lt, numbers, numbers[1:]))
        typed = set(map(type, times)) == {int} and set(map(type, payloads)) == {bytes}
        if not (
            ascending and typed and set(topics) <= self.step.keys() and 0 <= min(times) <= max(times) < MAX_TIME_NS
        ):
            return False
        if len(set(topics)) == 1:
            self._add(topics[0], times, payloads)
        else:
            for topic in set(topics):
                own = list(map(topic.__eq__, topics))
                self._add(topic, compress(times, own), compress(payloads, own))
        self.last = numbers[-1]
        sizes = list(map(len, payloads))
        self._bytes += sum(sizes) + _ROW_BYTES * len(rows)
        self._largest = max(self._largest, *sizes)
        return True

    def _add(self, topic: int, times: Iterable[int], payloads: Iterable[bytes]) -> None:
        own_times, own_payloads = self.step[topic]
        own_times.extend(times)
        own_payloads.extend(payloads)

    def _take(self, row: Row) -> None:
        number, topic, t_ns, data = row
        if number <= self.last:
            raise sqlite3.DatabaseError(_BACKWARD)
        self.last = number
        if topic in self.step and type(t_ns) is int and type(data) is bytes and 0 <= t_ns < MAX_TIME_NS:
            self._add(topic, (t_ns,), (data,))
            self._bytes += len(data) + _ROW_BYTES
            self._largest = max(self._largest, len(data))
        else:
            self.wrong[topic if isinstance(topic, int) else -1] += 1

    def flush(self) -> Step:
        """Give out what there is."""
        step = {topic: held for topic, held in self.step.items() if held[0]}
        self.step = {topic: ([], []) for topic in self._topics}
        self._bytes = 0
        return step


class Db3File:
    """One SQLite file of a bag.

    Args:
        path: Where the bytes are.
        name: Relative name inside the drive.

    Attributes:
        topics: Topic by its number in the file.
        extent_ns: First and last time stamp.
        damaged_rows: Row numbers (last read before, first read after) around damage; None at the end.
        wrong_rows: Rows whose values are not what the table's columns should hold, by topic.
        problem: What SQLite said of the first damage.

    Raises:
        UnreadableRecordingError: When it is no bag, or its schema is lost.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name, self.size = name, path.stat().st_size
        self.damaged_rows: list[tuple[int, int | None]] = []
        self.wrong_rows: Counter[int] = Counter()
        self.problem = ""
        self._probes = 0
        self._steps = _MAX_STEPS
        self._database = _connect(path)
        self._database.set_progress_handler(self._is_endless, _STEP_OPS)
        try:
            for pragma in _PRAGMAS:
                self._database.execute(f"PRAGMA {pragma}")
            self._check_schema()
            self.topics: Mapping[int, Topic] = self._topics()
            self.extent_ns = self._extent()
        except (sqlite3.Error, OverflowError) as error:
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
            return cursor.fetchmany(_MAX_TOPICS)

    def _is_endless(self) -> bool:
        self._steps -= 1
        return self._steps < 0

    def _columns(self, table: str) -> set[str]:
        # hidden (the last column) is 0 for columns that are stored as they are.
        return {_text(row[1]) for row in self._ask(f"PRAGMA table_xinfo({table})") if row[6] == 0}

    def _check_schema(self) -> None:
        found = {_text(row[0]) for row in self._ask("SELECT name FROM sqlite_master WHERE type = 'table'")}
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
        with suppress(sqlite3.Error):
            rows = self._ask("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions")
            return {
                _text(kind): (_text(encoding), text)
                for kind, encoding, text in rows
                if isinstance(text, bytes) and text
            }
        return {}

    def _topics(self) -> dict[int, Topic]:
        definitions = self._definitions()
        columns = self._columns("topics")
        encoding = "serialization_format" if "serialization_format" in columns else "'cdr'"
        found = {}
        for number, name, kind, form in self._ask(f"SELECT id, name, type, {encoding} FROM topics ORDER BY id"):  # noqa: S608 - one of two constants
            if isinstance(number, int):
                definition_encoding, definition = definitions.get(_text(kind), ("", b""))
                found[number] = Topic(_text(name), _text(kind), _text(form), definition_encoding, definition)
        return found

    def _extent(self) -> tuple[int, int] | None:
        usable = "typeof(timestamp) = 'integer' AND timestamp >= 0 AND timestamp < 4611686018427387904"
        try:
            # One after the other, each is a look at one end of the index.
            ends = [
                self._ask(f"SELECT timestamp FROM messages WHERE {usable} ORDER BY timestamp {way} LIMIT 1")  # noqa: S608 - constants
                for way in ("ASC", "DESC")
            ]
        except sqlite3.Error as error:
            self.problem = str(error)
            low, high = MAX_TIME_NS, -1
            for step in self.steps(with_data=False):
                for times, _ in step.values():
                    low, high = min(low, *times), max(high, *times)
            return (low, high) if high >= 0 else None
        return (ends[0][0][0], ends[1][0][0]) if all(ends) else None

    def index_count(self) -> int | None:
        """Rows of the table by the shortest way, normally its index over time; None where that is damaged."""
        with suppress(sqlite3.Error):
            return int(self._ask("SELECT count(*) FROM messages")[0][0])
        return None

    def embedded_metadata(self) -> bytes | None:
        """The metadata that recorders since ROS 2 Iron write into the file itself."""
        with suppress(sqlite3.Error):
            if "metadata" in self._columns("metadata"):
                rows = self._ask("SELECT metadata FROM metadata ORDER BY rowid DESC LIMIT 1")
                return rows[0][0] if rows and isinstance(rows[0][0], bytes) else None
        return None

    def steps(self, topics: Collection[int] | None = None, *, with_data: bool = True) -> Iterator[Step]:
        """Yield the messages in the order of their row numbers, past damage too, some megabytes at a time.

        Args:
            topics: Topics to read; all when None.
            with_data: Whether to read the messages themselves, else they are empty.
        """
        self.damaged_rows.clear()
        self.wrong_rows.clear()
        self._probes = 0
        columns = "rowid, topic_id, timestamp, " + ("data" if with_data else "x''")
        chosen = "" if topics is None else f"AND topic_id IN ({','.join(str(int(topic)) for topic in sorted(topics))})"
        # An index that is damaged must not decide which rows are found.
        question = f"SELECT {columns} FROM messages NOT INDEXED WHERE rowid >= ? {chosen} ORDER BY rowid"  # noqa: S608 - constants, integers
        held = _Held(self.topics, self.wrong_rows)
        while held.last < _LAST_ROW:
            try:
                for step in held.read(self._database.execute(question, (held.last + 1,))):
                    yield step
                    self._steps = _MAX_STEPS
            except sqlite3.Error as error:
                self.problem = self.problem or str(error)
            else:
                break
            # The module looks one row ahead, so the first row that it did not give may be sound.
            found = self._past_damage(question, held.last)
            if found is None:
                break
            yield from held.read(iter([found]))
        yield held.flush()

    def _probe(self, question: str, start: int) -> Row | None:
        """First row from a row number on; None at the end of the table.

        Raises:
            sqlite3.Error: When that row cannot be read.
        """
        self._probes += 1
        self._steps = _MAX_STEPS
        with closing(self._database.execute(f"{question} LIMIT 1", (start,))) as cursor:
            row: Row | None = cursor.fetchone()
        if row is not None and row[0] < start:
            raise sqlite3.DatabaseError(_BACKWARD)
        return row

    def _past_damage(self, question: str, last: int) -> Row | None:
        """Find the first row after damage: longer and longer steps, then halving; None where no more comes."""
        found: dict[int, Row | None] = {}

        def is_sound(at: int) -> bool:
            try:
                found[at] = self._probe(question, at)
            except sqlite3.Error:
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

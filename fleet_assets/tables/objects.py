"""Which columns name objects of the store, and of which class: what a table says is there beside its own rows.

Here belongs the list. Digests of what no store holds (manifests, policies, single pictures of a shard) are not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class ObjectColumn:
    """A column whose values are addresses of objects.

    Attributes:
        table: Name of the table.
        column: Its column, a digest; null where a row has no object.
        access: Class in which the object lies.
        what: What the object is, for people.
        where: Column that has to be true for the object to lie there; None where every row's does.
        is_derived: Whether it follows from a recording and can be made again.
    """

    table: str
    column: str
    access: str
    what: str
    where: str | None = None
    is_derived: bool = True

    @property
    def columns(self) -> list[str]:
        """Columns that have to be read."""
        return [self.column] if self.where is None else [self.column, self.where]

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row names an object."""
        return row[self.column] is not None and (self.where is None or bool(row[self.where]))


OBJECT_COLUMNS: Final = (
    ObjectColumn("bronze.drive_files", "sha256", "raw", "recording", is_derived=False),
    ObjectColumn("bronze.redacted_media", "sha256", "raw", "redacted media"),
    ObjectColumn("bronze.redaction_report", "report_sha256", "open", "report of redaction"),
    ObjectColumn("bronze.redaction_audit", "crop_sha256", "raw", "crop of the audit"),
    ObjectColumn("bronze.audited_media", "sha256", "open", "released media", where="released"),
    ObjectColumn("silver.lidar_sweeps", "sha256", "open", "sweeps"),
    ObjectColumn("silver.lidar_shards", "sha256", "open", "sweeps"),
    ObjectColumn("silver.keyframes", "sha256", "open", "keyframes"),
)

"""The request book: append-only, content-addressed requests in `ops.requests`."""

from dataclasses import dataclass
from typing import Final

from fleet_assets.provenance.ledger import FINGERPRINT_LENGTH, LakeTables
from fleet_assets.provenance.requests import Request, from_row, refuse_cycle
from fleet_assets.tables.ops import REQUESTS

_UNIT_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class RequestBook:
    """Reads and appends requests.

    Attributes:
        lake: Where the book is kept.
    """

    lake: LakeTables

    def all(self) -> list[Request]:
        """Every request, sorted by id."""
        rows = self.lake.read(REQUESTS, self.lake.entries(REQUESTS)).to_pylist()
        return sorted((from_row(row) for row in rows), key=lambda request: request.request_id)

    def append(self, request: Request) -> Request:
        """Add a request; the same request again changes nothing.

        Raises:
            CircularRequestError: When the request would have caused itself, or names an unknown cause.
        """
        refuse_cycle(request, self.all())
        unit = request.request_id[:_UNIT_LENGTH]
        data = REQUESTS.from_rows([request.row()])
        staged = self.lake.stage(REQUESTS, (), unit, request.request_id[:FINGERPRINT_LENGTH], data)
        self.lake.commit(REQUESTS, [staged])
        return request

"""Requests: feedback edges as data. Content-addressed, so that a retry is the same request.

Storing them is the `requests` resource's business; what a kind means is its consumer's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.canonical import canonical_json

CAUSE_PREFIX: Final = "request:"


class CircularRequestError(ValueError):
    """A request that would have caused itself."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        kind: What is asked for.
        body: Parameters (JSON values).
        cause: What led to it: an asset partition, a person, or `request:ID`.
    """

    kind: str
    body: Mapping[str, Any]
    cause: str

    @property
    def request_id(self) -> str:
        """SHA-256 over kind, body and cause."""
        return digest_of([self.kind, dict(self.body), self.cause])

    def row(self) -> dict[str, str]:
        """The request as a row of `ops.requests`."""
        return {
            "request_id": self.request_id,
            "kind": self.kind,
            "body": canonical_json(dict(self.body)).decode(),
            "cause": self.cause,
        }


def from_row(row: Mapping[str, str]) -> Request:
    """Inverse of `Request.row`."""
    return Request(row["kind"], json.loads(row["body"]), row["cause"])


def refuse_cycle(request: Request, earlier: Sequence[Request]) -> None:
    """Refuse a request that one of its own causes already asked for.

    Raises:
        CircularRequestError: Naming the chain.
    """
    by_id = {other.request_id: other for other in earlier}
    chain = [request]
    while chain[-1].cause.startswith(CAUSE_PREFIX):
        parent = by_id.get(chain[-1].cause.removeprefix(CAUSE_PREFIX))
        if parent is None:
            raise CircularRequestError(f"cause {chain[-1].cause} is not a known request. Name an existing one.")
        if (parent.kind, dict(parent.body)) == (request.kind, dict(request.body)):
            steps = " → ".join(f"{item.kind}({item.request_id[:12]})" for item in [parent, *reversed(chain)])
            raise CircularRequestError(f"{request.kind} would cause itself: {steps}. Break the loop at its policy.")
        chain.append(parent)

"""Messages that nobody can decode, kept by their sizes.

Here belongs the decoder of last resort; why a channel needs it is said by whoever chooses it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.windows import Columns


class OpaqueDecoder:
    """Messages that cannot be decoded: their sizes only (column ``size_bytes``, uint32).

    Args:
        problem: Why they cannot be decoded, with a remedy.
    """

    kind: Final = "opaque"
    fields: Final = ("size_bytes",)
    expects: Final = "any payload"

    def __init__(self, problem: str) -> None:
        self.problem = problem

    def columns(self, payloads: Sequence[bytes | memoryview]) -> tuple[Columns, NDArray[np.bool_]]:
        """Sizes of the payloads; all are usable."""
        sizes = np.fromiter(map(len, payloads), np.uint32, len(payloads))
        return {"size_bytes": sizes}, np.ones(len(payloads), bool)

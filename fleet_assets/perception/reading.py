"""Reading a line of text by PP-OCRv4's recogniser (SVTR: Du et al., IJCAI 2022; CTC: Graves et al., ICML 2006).

Here belongs this one network: letters of a picture that shows one line. Where lines are is in `plates.py`, which text
may be a plate's is a policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.preprocessing import InputSpec, Picture, blob
from fleet_assets.perception.runtime import onnx_session, run, single_threaded_opencv

LINE_PX: Final = 48
"""Height of a line that the network was trained with."""
_LONGEST_PX: Final = 480
_CHARACTERS: Final = "character"
"""Where the model says what it can read: one character a line."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a line says.

    Attributes:
        text: Its characters.
        score: Mean probability of them, 0 to 1; 0 for no text.
    """

    text: str
    score: float


class LineReader:
    """Reads pictures of one line each.

    Args:
        model: PP-OCR recogniser as ONNX, with its characters.
        spec: What the network wants to see.
    """

    def __init__(self, model: Path, spec: InputSpec) -> None:
        self._session, self._spec = onnx_session(model), spec
        known = self._session.get_modelmeta().custom_metadata_map.get(_CHARACTERS, "")
        if not known:
            raise ValueError(f"{model}: says not which characters it reads. Give a PP-OCR recogniser with `character`.")
        self._characters = ("", *known.splitlines(), " ")

    def __call__(self, picture: Picture) -> Reading:
        """Read uint8[h, w, 3], blue, green, red."""
        height, width = picture.shape[:2]
        step = self._spec.multiple_px
        wide = min(max(-(-width * LINE_PX // (height * step)) * step, LINE_PX), _LONGEST_PX)
        cv2 = single_threaded_opencv()
        line = np.asarray(cv2.resize(picture, (wide, LINE_PX), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        probability = run(self._session, blob(line, self._spec))[0][0]
        return read_off(probability, self._characters)


def read_off(probability: NDArray[Any], characters: Sequence[str]) -> Reading:
    """The likeliest text: at each place the likeliest character, repetitions and gaps left out.

    Args:
        probability: float[places, characters].
        characters: Character by column; the first one is the gap.
    """
    best = probability.argmax(axis=1)
    new = (best != 0) & (best != np.concatenate([[0], best[:-1]]))
    if not new.any():
        return Reading("", 0.0)
    scores = probability[np.arange(len(best)), best][new]
    return Reading("".join(characters[column] for column in best[new]), float(scores.mean()))

"""Texts without what they say about people: vehicle numbers, addresses, phone numbers, names and plates.

Here belongs the replacement alone. Which columns hold free text is in the tables' schemas; patterns are in the policy
`privacy`. Names are found where a word announces them: a name that stands alone in a text is not told from other words.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

POLICY: Final = "privacy"
KEY: Final = "text"
READS: Final[Mapping[str, tuple[str, ...]]] = {POLICY: (KEY,)}
"""What an operator that writes free text reads of the policies."""
_VIN: Final = re.compile(r"(?<![A-Za-z0-9])[A-HJ-NPR-Z0-9]{17}(?![A-Za-z0-9])")
_VALUES: Final = {
    **{str(digit): digit for digit in range(10)},
    **dict(zip("ABCDEFGH", range(1, 9), strict=True)),
    **dict(zip("JKLMN", range(1, 6), strict=True)),
    "P": 7,
    "R": 9,
    **dict(zip("STUVWXYZ", range(2, 10), strict=True)),
}
_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
"""Values and weights of 49 CFR 565.15."""
_PSEUDONYM_LENGTH: Final = 8
_CHECK_PLACE: Final = 8


def has_check_digit(number: str) -> bool:
    """Whether the ninth place of a vehicle identification number is its check digit (49 CFR 565.15).

    Args:
        number: 17 characters, capitals without I, O and Q, and digits.
    """
    rest = sum(_VALUES[letter] * weight for letter, weight in zip(number, _WEIGHTS, strict=True)) % 11
    return number[_CHECK_PLACE] == ("X" if rest == 10 else str(rest))  # noqa: PLR2004 - X stands for ten


@dataclass(frozen=True, slots=True)
class TextRule:
    """What is replaced.

    Attributes:
        pepper: Goes into the pseudonyms of vehicles.
        without_check_digit: First letters of numbers of makers that do not use the check digit.
        serial_digits: Digits at the end of those.
        patterns: Kind and pattern of everything else, in order.
    """

    pepper: str
    without_check_digit: str
    serial_digits: int
    patterns: tuple[tuple[str, re.Pattern[str]], ...]

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> "TextRule":
        """From the key `text` of the document `privacy`."""
        return cls(
            policy["pepper"],
            policy["vin"]["without_check_digit"],
            policy["vin"]["serial_digits"],
            tuple((rule["kind"], _compiled(rule["pattern"])) for rule in policy["patterns"]),
        )

    def is_vehicle_number(self, number: str) -> bool:
        """Whether 17 characters are a vehicle's number: letters and digits, with a check digit or of such a maker."""
        if number.isdigit() or number.isalpha():
            return False
        serial = number[-self.serial_digits :].isdigit()
        return has_check_digit(number) or (number[0] in self.without_check_digit and serial)

    def pseudonym(self, number: str) -> str:
        """What stands for a vehicle's number: the same for the same number and pepper."""
        digest = hashlib.sha256(f"{self.pepper}\0{number}".encode()).hexdigest()
        return f"vin-{digest[:_PSEUDONYM_LENGTH]}"


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def scrubbed(text: str, rule: TextRule) -> tuple[str, Counter[str]]:
    """A text without personal data, and how many of each kind were replaced.

    Args:
        text: Any text.
        rule: What is replaced.
    """
    found: Counter[str] = Counter()

    def vehicle(match: re.Match[str]) -> str:
        if not rule.is_vehicle_number(match[0]):
            return match[0]
        found["vin"] += 1
        return rule.pseudonym(match[0])

    text = _VIN.sub(vehicle, text)
    for kind, pattern in rule.patterns:
        text = pattern.sub(lambda match, kind=kind: _without_secret(match, kind, found), text)  # type: ignore[misc]
    return text, found


def _without_secret(match: re.Match[str], kind: str, found: Counter[str]) -> str:
    group: int | str = "secret" if "secret" in match.re.groupindex else 0
    first, last = match.span(group)
    if match[group] == f"[{kind}]":
        return match[0]
    found[kind] += 1
    begin = match.start()
    return f"{match[0][: first - begin]}[{kind}]{match[0][last - begin :]}"


def scrubbed_columns(data: pa.Table, names: tuple[str, ...], rule: TextRule) -> pa.Table:
    """A table whose texts in some columns are scrubbed, each different text once.

    Args:
        data: Any table.
        names: Columns of free text.
        rule: What is replaced.
    """
    for name in names:
        column = data[name]
        texts = pc.unique(column).to_pylist()
        changed = {text: scrubbed(text, rule)[0] for text in texts if text is not None}
        if any(text != clean for text, clean in changed.items()):
            values = [None if text is None else changed[text] for text in column.to_pylist()]
            data = data.set_column(data.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return data

"""What a number measures: dimensions that multiply and divide, made of the units' names.

Here belongs the algebra. Units and their factors are in `units.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fleet_assets.policy.units import UNIT_NAMES, dimension_of, into_base

_EXPONENTS: Final[Mapping[str, Mapping[str, int]]] = {
    "ratio": {},
    "time": {"s": 1},
    "length": {"m": 1},
    "speed": {"m": 1, "s": -1},
    "acceleration": {"m": 1, "s": -2},
    "angle": {"rad": 1},
    "angular rate": {"rad": 1, "s": -1},
}
"""Dimensions that are made of others; every other one is a base of its own."""
_LENGTH, _ANGLE, _TIME = "m", "rad", "s"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A dimension: base units with their exponents, sorted, none of them 0."""

    exponents: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def of(unit: str) -> "Quantity":
        """What a unit measures.

        Raises:
            UnknownUnitError: When the table of units does not list it.
        """
        name = dimension_of(unit)
        return _made(dict(_EXPONENTS.get(name, {name: 1})))

    def times(self, other: "Quantity", sign: int = 1) -> "Quantity":
        """Product with another one, or quotient for sign -1.

        An angle times a length (over any time) is that length: radius times angle is an arc.
        """
        exponents = dict(self.exponents)
        for base, exponent in other.exponents:
            exponents[base] = exponents.get(base, 0) + sign * exponent
        if exponents.get(_LENGTH):
            exponents.pop(_ANGLE, None)
        return _made(exponents)

    def per_time(self) -> "Quantity":
        """Its rate of change."""
        return self.times(Quantity(((_TIME, 1),)), -1)

    @property
    def words(self) -> str:
        """Name for messages: a unit of the table where one fits, else its base units."""
        for unit in UNIT_NAMES:
            if Quantity.of(unit) == self and into_base(unit).identity:
                return "a bare number" if unit == "1" else f"{unit} ({dimension_of(unit)})"
        return " ".join(f"{base}^{exponent}" for base, exponent in self.exponents)


def _made(exponents: Mapping[str, int]) -> Quantity:
    return Quantity(tuple(sorted((base, exponent) for base, exponent in exponents.items() if exponent)))


RATIO: Final = Quantity()

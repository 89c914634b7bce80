"""Units of measure: the one explicit table of conversions between what cars send and what the fleet's tables hold.

Here belong unit names and the linear maps between them. Which signal has which unit is said by the vehicle spec and the
canonical signals; nothing here knows a signal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final


class UnknownUnitError(ValueError):
    """A unit that the table does not list, or two units that measure different things."""


@dataclass(frozen=True, slots=True)
class LinearMap:
    """``y = x · scale + offset``."""

    scale: float = 1.0
    offset: float = 0.0

    @property
    def identity(self) -> bool:
        """Whether the map changes nothing."""
        return self.scale == 1.0 and self.offset == 0.0


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit as its dimension and its exact linear map to that dimension's base unit."""

    dimension: str
    scale: Fraction
    offset: Fraction = Fraction(0)


def _unit(dimension: str, scale: str = "1", offset: str = "0") -> _Unit:
    return _Unit(dimension, Fraction(scale), Fraction(offset))


# Factors are exact by definition (SI brochure, 9th edition; international yard and pound agreement of 1959). Only the
# degree is not rational; its factor is the double nearest to pi / 180.
_DEGREE: Final = Fraction(0.017453292519943295)
_UNITS: Final[Mapping[str, _Unit]] = {
    "1": _unit("ratio"),
    "%": _unit("ratio", "1/100"),
    "s": _unit("time"),
    "ms": _unit("time", "1/1000"),
    "us": _unit("time", "1/1000000"),
    "ns": _unit("time", "1/1000000000"),
    "min": _unit("time", "60"),
    "h": _unit("time", "3600"),
    "m": _unit("length"),
    "mm": _unit("length", "1/1000"),
    "cm": _unit("length", "1/100"),
    "km": _unit("length", "1000"),
    "in": _unit("length", "0.0254"),
    "ft": _unit("length", "0.3048"),
    "mi": _unit("length", "1609.344"),
    "m/s": _unit("speed"),
    "km/h": _unit("speed", "5/18"),
    "mph": _unit("speed", "0.44704"),
    "knot": _unit("speed", "463/900"),
    "cm/s": _unit("speed", "1/100"),
    "mm/s": _unit("speed", "1/1000"),
    "ft/s": _unit("speed", "0.3048"),
    "m/s^2": _unit("acceleration"),
    "g": _unit("acceleration", "9.80665"),
    "mg": _unit("acceleration", "0.00980665"),
    "rad": _Unit("angle", Fraction(1)),
    "deg": _Unit("angle", _DEGREE),
    "rad/s": _Unit("angular rate", Fraction(1)),
    "deg/s": _Unit("angular rate", _DEGREE),
    "rpm": _Unit("angular rate", _DEGREE * 6),
    "K": _unit("temperature"),
    "degC": _unit("temperature", "1", "273.15"),
    "degF": _unit("temperature", "5/9", "45967/180"),
    "V": _unit("voltage"),
    "mV": _unit("voltage", "1/1000"),
    "A": _unit("current"),
    "mA": _unit("current", "1/1000"),
    "Pa": _unit("pressure"),
    "kPa": _unit("pressure", "1000"),
    "bar": _unit("pressure", "100000"),
    "N": _unit("force"),
    "Nm": _unit("torque"),
}
UNIT_NAMES: Final = tuple(_UNITS)


def conversion(unit: str, into: str) -> LinearMap:
    """Return the map that turns a number in one unit into a number in another.

    Args:
        unit: Unit of the number at hand.
        into: Unit wanted.

    Raises:
        UnknownUnitError: When the table does not list a unit, or the two measure different things.
    """
    for name in (unit, into):
        if name not in _UNITS:
            raise UnknownUnitError(f"unit {name!r} is not known. Use one of: {', '.join(UNIT_NAMES)}")
    source, target = _UNITS[unit], _UNITS[into]
    if source.dimension != target.dimension:
        raise UnknownUnitError(
            f"unit {unit!r} ({source.dimension}) cannot become {into!r} ({target.dimension}). "
            "State the unit that the sensor really sends, or map the signal to another canonical signal"
        )
    return LinearMap(
        scale=float(source.scale / target.scale), offset=float((source.offset - target.offset) / target.scale)
    )


def dimension_of(unit: str) -> str:
    """What a unit measures, e.g. ``speed``.

    Raises:
        UnknownUnitError: When the table does not list it.
    """
    conversion(unit, unit)
    return _UNITS[unit].dimension


def into_base(unit: str) -> LinearMap:
    """The map that turns a number in a unit into its dimension's base unit (metre, second, radian, kelvin …).

    Raises:
        UnknownUnitError: When the table does not list it.
    """
    conversion(unit, unit)
    known = _UNITS[unit]
    return LinearMap(scale=float(known.scale), offset=float(known.offset))

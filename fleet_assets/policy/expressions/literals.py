"""Numbers as they are written in policies, with their units."""

from fleet_assets.policy.expressions.quantities import RATIO, Quantity
from fleet_assets.policy.expressions.syntax import Apply, ExpressionError, Number, parse
from fleet_assets.policy.units import into_base


def quantity_of(text: str) -> tuple[Quantity, float]:
    """A number with its unit, e.g. ``-3 m/s^2``, as what it measures and its value in base units.

    Raises:
        ExpressionError: When it is anything else.
    """
    tree = parse(text)
    sign = 1.0
    while isinstance(tree, Apply) and tree.operator == "negate":
        sign, tree = -sign, tree.arguments[0]
    if not isinstance(tree, Number):
        raise ExpressionError(text, 0, "expected one number with its unit. Write it like `-3 m/s^2`")
    return in_base(Number(sign * tree.value, tree.unit, tree.at))


def in_base(number: Number) -> tuple[Quantity, float]:
    """What a number measures, and its value in base units; a bare number is a ratio."""
    if number.unit is None:
        return RATIO, number.value
    base = into_base(number.unit)
    return Quantity.of(number.unit), number.value * base.scale + base.offset

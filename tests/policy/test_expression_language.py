"""The expression language: what it refuses, with place and remedy, and what its operations give, against other ways."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.expressions.checking import Checker, Parameter, SignalKind, Vocabulary
from fleet_assets.policy.expressions.columnar import Columns
from fleet_assets.policy.expressions.literals import quantity_of
from fleet_assets.policy.expressions.quantities import Quantity
from fleet_assets.policy.expressions.streaming import Stream
from fleet_assets.policy.expressions.syntax import ExpressionError, parse

NAN = math.nan
WORDS = Vocabulary(
    {
        "speed_mps": SignalKind("m/s"),
        "speed_kmh": SignalKind("km/h"),
        "distance_m": SignalKind("m"),
        "steering_deg": SignalKind("deg"),
        "yaw_rate_radps": SignalKind("rad/s"),
        "temperature_degc": SignalKind("degC"),
        "brake": SignalKind("1", truth=True),
    },
    step_ms=100,
    max_window_s=10,
)
Floats = NDArray[np.float64]


def checker(**parameters: Parameter) -> Checker:
    return Checker(
        WORDS, parameters, {"fast": "speed_mps > 10 m/s", "twice": "2 * distance_m", "circle": "circle > 0 m"}
    )


def number(text: str, **signals: Sequence[float]) -> Floats:
    made = checker()
    root, _ = made.number(text)
    length = len(next(iter(signals.values())))
    return Columns(made.plan, {name: np.array(column, np.float64) for name, column in signals.items()}, length).number(
        root
    )


def truth(text: str, **signals: Sequence[float]) -> list[bool]:
    made = checker()
    root = made.condition(text)
    length = len(next(iter(signals.values())))
    columns = Columns(made.plan, {name: np.array(column, np.float64) for name, column in signals.items()}, length)
    found: list[bool] = columns.truth(root).tolist()
    return found


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("speed_mps >", 12, "expected a number, a signal"),
        ("speed_mps > 3 m/s)", 18, "expected an operator or the end"),
        ("(speed_mps > 3 m/s", 19, "expected `)` for what was opened at character 1"),
        ("speed_mps > 3 m/s $", 19, "has no meaning here. Remove it"),
        ("1 m < distance_m < 2 m", 18, "Write `a < b and b < c`"),
        ("sped_mps > 3 m/s", 1, "Did you mean 'speed_mps'?"),
        ("speed_mps > 3 m", 11, "between m/s (speed) and m (length)"),
        ("speed_mps > 3", 11, "between m/s (speed) and a bare number"),
        ("steering_deg > 5", 14, "between rad (angle) and a bare number"),
        ("temperature_degc > 0", 18, "Write 0 degC or 0 K"),
        ("maen(speed_mps, 1 s) > 3 m/s", 1, "Did you mean 'mean'?"),
        ("mean(speed_mps) > 3 m/s", 1, "Write mean(x, time)"),
        ("mean(speed_mps, distance_m) > 3 m/s", 17, "no bound. Write e.g. `0.5 s`"),
        ("mean(speed_mps, 1 m) > 3 m/s", 17, "no bound"),
        ("mean(speed_mps, 0.25 s) > 3 m/s", 17, "no multiple of the grid's 0.1 s"),
        ("mean(speed_mps, 1 h) > 3 m/s", 17, "a window of 3600 s, longest 10 s. Shorten it"),
        ("brake > 1", 1, "is true or false"),
        ("speed_mps and brake", 1, "is a number where a condition is expected. Compare it"),
        ("not 3", 5, "Compare it, e.g. `x > 3 m`"),
        ("speed_mps / 0 > 1 m/s", 11, "division by 0"),
        ("circle", 1, "is made of itself"),
        ("abs(brake and fast) > 1", 11, "gives a condition where a number is expected"),
        ("speed_mps", 1, "is a number where a condition is expected"),
        ("", 1, "expected a number"),
    ],
)
def test_a_mistake_is_told_with_its_character_and_what_to_do(text: str, place: int, told: str) -> None:
    with pytest.raises(ExpressionError, match=f"character {place} ") as caught:
        checker().condition(text)
    assert told in str(caught.value)


def test_a_mistake_inside_a_definition_is_told_in_the_definitions_text() -> None:
    made = Checker(WORDS, {}, {"broken": "speed_mps > 3 m"})
    with pytest.raises(ExpressionError, match="in 'broken', character 11"):
        made.condition("brake and broken")


@pytest.mark.parametrize("text", ["(" * 40 + "1" + ")" * 40, "x" * 3000, "+".join(["distance_m"] * 400)])
def test_text_without_measure_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(InvalidPolicyError, match="Split"):
        parse(text)


def test_a_long_row_of_signs_is_read_without_a_stack_overflow() -> None:
    assert number("-" * 250 + "distance_m", distance_m=[3.0]).tolist() == [3.0]


def test_units_are_converted_and_derived() -> None:
    assert truth("speed_kmh > 10 m/s", speed_kmh=[35.9, 36.1]) == [False, True]
    assert truth("steering_deg >= 90 deg", steering_deg=[89.0, 90.0]) == [False, True]
    assert truth("temperature_degc < 0 degC", temperature_degc=[-1.0, 1.0]) == [True, False]
    # An angle times a length is an arc: the lateral acceleration of a bend.
    made = checker()
    assert made.number("yaw_rate_radps * speed_mps")[1] == Quantity.of("m/s^2")
    assert made.number("distance_m / speed_mps")[1] == Quantity.of("s")
    assert made.number("change(speed_mps, 1 s)")[1] == Quantity.of("m/s^2")
    assert made.number("speed_mps / speed_mps")[1] == Quantity.of("1")


def test_a_quantity_is_one_number_with_its_unit() -> None:
    assert quantity_of("-3 m/s^2") == (Quantity.of("m/s^2"), -3.0)
    assert quantity_of("36 km/h")[1] == pytest.approx(10.0)
    with pytest.raises(ExpressionError, match="expected one number with its unit"):
        quantity_of("3 m + 2 m")


def test_what_is_missing_neither_holds_nor_fails() -> None:
    assert truth("speed_mps > 3 m/s", speed_mps=[NAN]) == [False]
    assert truth("not speed_mps > 3 m/s", speed_mps=[NAN]) == [False]
    assert truth("not brake", brake=[0.0, 1.0, NAN]) == [True, False, False]
    assert truth("brake or speed_mps > 3 m/s", brake=[NAN, NAN], speed_mps=[4.0, 2.0]) == [True, False]
    assert truth("not (brake and speed_mps > 3 m/s)", brake=[NAN, NAN], speed_mps=[4.0, 2.0]) == [False, True]
    assert truth("missing(brake)", brake=[0.0, NAN]) == [False, True]
    assert truth("not missing(speed_mps)", speed_mps=[0.0, NAN]) == [True, False]
    # A signal that a drive does not have is missing throughout.
    assert truth("speed_mps > 3 m/s or missing(distance_m)", speed_mps=[1.0]) == [True]


def test_a_division_by_a_signal_at_zero_is_missing() -> None:
    found = number("distance_m / speed_mps", distance_m=[6.0, 6.0, 6.0], speed_mps=[2.0, 0.0, NAN])
    assert found[0] == 3.0
    assert np.isnan(found[1:]).all()


def test_a_mean_is_exact_to_its_quantum_and_missing_where_a_sample_is() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(20.0, 5.0, 200)
    values[90] = NAN
    found = number("mean(speed_mps, 0.7 s)", speed_mps=values.tolist())
    for index in range(200):
        window = values[max(0, index - 6) : index + 1]
        if index < 6 or np.isnan(window).any():
            assert np.isnan(found[index])
        else:
            exact = sum(Fraction(round(value * 2**20), 2**20) for value in window.tolist()) / 7
            assert found[index] == float(exact)


@pytest.mark.parametrize(("name", "choose"), [("minimum", min), ("maximum", max)])
def test_extremes_are_those_of_a_plain_loop(name: str, choose: object) -> None:
    values = np.random.default_rng(2).normal(size=120).round(1)
    found = number(f"{name}(distance_m, 1.3 s)", distance_m=values.tolist())
    assert np.isnan(found[:12]).all()
    for index in range(12, 120):
        assert found[index] == choose(values[index - 12 : index + 1].tolist())  # type: ignore[operator]


def test_what_looks_back_sees_what_was_there() -> None:
    speeds = [0.0, 1.0, NAN, 3.0, 4.0, 5.0]
    assert number("delay(speed_mps, 0.2 s)", speed_mps=speeds)[2:].tolist()[:2] == [0.0, 1.0]
    assert number("change(speed_mps, 0.1 s)", speed_mps=speeds)[4] == pytest.approx(10.0)
    assert number("last(speed_mps, 0.1 s)", speed_mps=speeds).tolist() == [0.0, 1.0, 1.0, 3.0, 4.0, 5.0]
    assert truth("throughout(fast, 0.2 s)", speed_mps=[11.0, 11.0, 9.0, 11.0, 11.0]) == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert truth("recently(fast, 0.2 s)", speed_mps=[11.0, 9.0, 9.0, 11.0]) == [True, True, False, True]
    assert truth("was(fast, 0.2 s)", speed_mps=[11.0, 9.0, 9.0, 11.0]) == [False, False, True, False]
    assert number("share(fast, 0.2 s)", speed_mps=[11.0, 9.0, 9.0]).tolist()[1:] == [0.5, 0.0]


def test_no_value_depends_on_later_samples_and_none_on_more_than_the_window() -> None:
    """Causal with a bounded window: what came before `reach` samples, or comes later, changes nothing."""
    made = checker()
    root, _ = made.number("minimum(mean(change(speed_mps, 0.3 s), 0.5 s), 0.4 s)")
    reach = made.plan.reach([root])
    assert reach == 3 + 4 + 3
    rng = np.random.default_rng(3)
    values = rng.normal(size=60)
    whole = Columns(made.plan, {"speed_mps": values}, 60).number(root)
    for index in range(reach, 60):
        only = values[index - reach : index + 1]
        assert Columns(made.plan, {"speed_mps": only}, reach + 1).number(root)[-1] == whole[index]


def test_equal_expressions_are_computed_once() -> None:
    made = checker()
    first = made.condition("mean(speed_mps, 0.5 s) > 3 m/s")
    count = len(made.plan.nodes)
    assert made.condition("mean(speed_mps, 0.5 s) > 3 m/s") == first
    assert len(made.plan.nodes) == count


def test_a_stream_gives_the_columns_values_one_by_one() -> None:
    made = checker()
    root, _ = made.number("mean(speed_mps, 0.3 s) - delay(speed_mps, 0.2 s)")
    values = np.random.default_rng(4).normal(size=40)
    stream = Stream(made.plan, [root])
    found = [stream.step({"speed_mps": value})[0] for value in values.tolist()]
    assert np.array_equal(found, Columns(made.plan, {"speed_mps": values}, 40).number(root), equal_nan=True)


def test_otherwise_speaks_where_the_first_is_missing_and_is_the_same_sample_by_sample() -> None:
    speed, distance = [3.0, NAN, NAN, 5.0, NAN], [1.0, 2.0, NAN, 4.0, 6.0]
    text = "otherwise(speed_mps, distance_m / 2 s)"
    found = number(text, speed_mps=speed, distance_m=distance)
    np.testing.assert_array_equal(found, [3.0, 1.0, NAN, 5.0, 3.0])
    made = checker()
    root, quantity = made.number(text)
    assert quantity == Quantity.of("m/s")
    stream = Stream(made.plan, (root,))
    stepped = [stream.step({"speed_mps": a, "distance_m": b})[0] for a, b in zip(speed, distance, strict=True)]
    np.testing.assert_array_equal(stepped, found)


def test_otherwise_of_two_kinds_of_unit_is_refused() -> None:
    with pytest.raises(ExpressionError, match="same kind of unit"):
        checker().number("otherwise(speed_mps, distance_m)")


def test_what_is_given_is_not_looked_back_for() -> None:
    made = checker()
    root, _ = made.number("mean(distance_m - mean(speed_mps, 5 s) * 1 s, 0.3 s)")
    own = next(index for index, node in enumerate(made.plan.nodes) if node.operation == "mean" and node.samples == 50)
    assert made.plan.reach([root]) == 2 + 49
    assert made.plan.reach([root], frozenset([own])) == 2

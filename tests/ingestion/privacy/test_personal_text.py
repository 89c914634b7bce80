"""Texts: what they say about people and vehicles is replaced, everything else stays."""

import numpy as np
import pyarrow as pa
import pytest

from fleet_assets.operators import STEPS
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.personal_text import TextRule, has_check_digit, scrubbed, scrubbed_columns
from fleet_assets.tables import all_tables

POLICIES = load_policies()
RULE = TextRule.from_policy(POLICIES["privacy"]["text"])
# Published examples: 49 CFR 565 and ISO 3779 tutorials; makers' sample numbers.
KNOWN = ("1M8GDM9AXKP042788", "1HGCM82633A004352", "11111111111111111", "5GZCZ43D13S812715")


@pytest.mark.parametrize("number", KNOWN)
def test_the_check_digit_of_published_numbers_is_right_and_of_no_other_ninth_place(number: str) -> None:
    assert has_check_digit(number)
    others = [number[:8] + digit + number[9:] for digit in "0123456789X" if digit != number[8]]
    assert not any(has_check_digit(other) for other in others)


def test_a_vehicles_number_becomes_the_same_pseudonym_everywhere() -> None:
    first, found = scrubbed("car 1M8GDM9AXKP042788 of depot north", RULE)
    second, _ = scrubbed("upload-1M8GDM9AXKP042788.mcap", RULE)
    assert found == {"vin": 1}
    assert "1M8GDM9AXKP042788" not in first + second
    name = first.split()[1]
    assert second == f"upload-{name}.mcap"
    assert scrubbed("1HGCM82633A004352", RULE)[0] != name


def test_a_european_number_without_check_digit_is_known_and_a_digest_is_not() -> None:
    assert scrubbed("WVWZZZ1JZ3W386752", RULE)[1] == {"vin": 1}
    for text in ("3f2a9c0d11e2b4a5", "12345678901234567", "ABCDEFGHJKLMNPRST", "A" * 18 + "1"):
        assert scrubbed(text, RULE) == (text, {})


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("driver: Anna Müller-Lüdenscheid, south gate", "driver: [name], south gate"),
        ("Operator=jo.smith lost the key", "Operator=[name] lost the key"),
        ("write to a.b+c@mail.example.co.uk.", "write to [email]."),
        ("call +49 (151) 2345-6789 now", "call [phone] now"),
        ("plate: 7ABC123", "plate: [plate]"),
        ("seen M-AB 1234 and B-MW 123E", "seen [plate] and [plate]"),
    ],
)
def test_what_is_announced_or_has_a_form_of_its_own_is_replaced(text: str, clean: str) -> None:
    assert scrubbed(text, RULE)[0] == clean
    assert scrubbed(clean, RULE)[0] == clean


@pytest.mark.parametrize(
    "text",
    [
        "truncated: file ends at byte 1234567890123 of 2345678901234; upload it again",
        "clock jumps by -0.35 s at 1714550400000000000",
        "topic name: /camera/front/compressed, message definition: sensor_msgs/msg/Image",
        "GNSS-X 5 m, limit 3-D 10, 2024-05-01T08:00:00+00:00",
        "Correct what the reason names and upload the drive again with a higher revision.",
    ],
)
def test_technical_words_stay(text: str) -> None:
    assert scrubbed(text, RULE) == (text, {})


def test_a_serial_number_of_seventeen_places_is_taken_for_a_vehicles_about_once_in_eleven_times() -> None:
    rng = np.random.default_rng(10_001)
    letters = "ABCDEFGHJKLMNP0123456789"
    places = [rng.choice(list("0123456789X" if place == 8 else letters), 3000) for place in range(1, 17)]
    numbers = ["B" + "".join(one) for one in zip(*places, strict=True)]
    taken = sum(bool(scrubbed(number, RULE)[1]) for number in numbers)
    assert 0.07 < taken / len(numbers) < 0.11


def test_only_the_named_columns_change_and_null_stays_null() -> None:
    data = pa.table({"free": ["a@b.de", None, "ok"], "key": ["a@b.de", "x", "y"]})
    clean = scrubbed_columns(data, ("free",), RULE)
    assert clean["free"].to_pylist() == ["[email]", None, "ok"]
    assert clean["key"].to_pylist() == data["key"].to_pylist()


def test_a_pepper_changes_every_pseudonym() -> None:
    peppered = TextRule.from_policy({**POLICIES["privacy"]["text"], "pepper": "secret"})
    assert scrubbed("1M8GDM9AXKP042788", peppered)[0] != scrubbed("1M8GDM9AXKP042788", RULE)[0]


def test_every_operator_that_writes_free_text_has_the_rules_in_its_fingerprint() -> None:
    tables = all_tables(POLICIES["canonical_signals"])
    writers = [s.operator for s in STEPS if any(tables[name].free_texts for name in s.operator.outputs)]
    assert len(writers) >= 5
    assert [one.name for one in writers if "text" not in one.policy.get("privacy", ())] == []

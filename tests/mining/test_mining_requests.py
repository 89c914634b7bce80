"""Mining requests: what a file may ask, what is refused and how it is said, and when two are the same request."""

from typing import Any

import pytest

from fleet_assets.mining.scenario_mining.predicates import check_predicate
from fleet_assets.mining.scenario_mining.requests import (
    KIND,
    InvalidMiningRequestError,
    parse_request,
    place,
    placed_from,
    read_request,
)
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.requests import Request
from fleet_assets.tables import all_tables

POLICIES = load_policies()
POLICY = POLICIES["mining"]
PLAIN = b"schema: fleet.mining_request/v1\nname: plain\nwhere: ['duration_s > 0']\nbudget: {clips: 3}\n"
HEAD = "schema: fleet.mining_request/v1\nname: bad\n"


def document(**changes: Any) -> dict[str, Any]:
    return {**read_request(PLAIN, "plain.yaml"), **changes}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "budget: {clips: 3}\n", "asks for nothing"),
        (HEAD + "where: ['true']\n", "budget"),
        (HEAD + "where: ['true']\nbudget: {clips: 0}\n", "minimum"),
        (HEAD + "where: ['true']\nbudget: {clips: 3}\nsurprise: 1\n", "surprise"),
        (HEAD + "where: ['true']\nbudget: {clips: 3}\nquotas: {a: {where: 'true'}}\n", "limits nothing"),
        (HEAD + "where: ['true']\nbudget: {clips: 3}\nquotas: {a: {where: 'true', min: 4}}\n", "budget/clips"),
        (HEAD + "where: ['true']\nbudget: {clips: 3}\nquotas: {a: {where: 'true', min: 3, max: 1}}\n", "more than max"),
        (HEAD + "seeds: {clips: [a]}\nbudget: {clips: 3}\n", "nearest"),
        (HEAD + "text: {meaning: a night}\nbudget: {clips: 3}\n", "nearest"),
        (HEAD + "where: ['true']\nbudget: {clips: 3}\nseed: -1\n", "minimum"),
        (HEAD + "where: ['true']\nbudget: {clips: .nan}\n", "is nan"),
        ("name: no_schema\n", "schema"),
        ("schema: fleet.mining/v1\n", "allowed here: fleet.mining_request/v1"),
        ("schema: &a [*a]\n", "alias"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("[" * 200, "nested deeper"),
        ("x" * 300_000, "limit"),
        ("where: [", "not valid YAML"),
        ("- a\n", "mapping"),
    ],
)
def test_what_is_no_request_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(InvalidMiningRequestError) as refused:
        read_request(text.encode(), "some.yaml")
    assert said in str(refused.value)
    assert str(refused.value).startswith("some.yaml")


def test_what_a_request_leaves_open_is_the_policys() -> None:
    asked = parse_request(document(weights={"rarity": 9}, embedding={"dimensions": 3}), POLICY)
    assert asked.weights == {**POLICY["weights"], "rarity": 9}
    assert asked.dimensions == 3
    assert asked.modalities == POLICY["embedding"]["modalities"]
    assert asked.without_used
    assert asked.seed == 0
    assert asked.digest != parse_request(document(), POLICY).digest
    other = {**POLICY, "weights": {**POLICY["weights"], "rarity": 9}}
    assert parse_request(document(), other).digest != parse_request(document(), POLICY).digest


def test_the_same_document_on_the_same_drives_is_the_same_request() -> None:
    first = place(document(), ["b", "a"], [], "file:1", [])
    assert place(document(), ["a", "b"], [], "file:other", [first]) == first
    second = place(document(seed=1), ["a", "b"], [], "file:2", [first])
    assert second.body["earlier"] == [first.request_id]
    # What came in between does not make an old request a new one.
    assert place(document(), ["a", "b"], [], "file:1", [first, second]) == first
    grown = place(document(), ["a", "b", "c"], [], "file:1", [first, second])
    assert sorted(grown.body["earlier"]) == sorted([first.request_id, second.request_id])
    assert place(document(), ["a", "b"], ["a-0000"], "file:1", [first]) != first
    assert (
        place(document(), ["a", "b"], [], "file:1", [Request("release", dict(first.body), "x")]).body["earlier"] == []
    )


def test_a_body_that_another_program_wrote_is_checked_like_a_file() -> None:
    body = dict(place(document(), ["a"], [], "file:1", []).body)
    assert placed_from(body).drives == ("a",)
    for broken in (
        {},
        {**body, "more": 1},
        {**body, "drives": "a"},
        {**body, "drives": [1]},
        {**body, "document": "x"},
        {**body, "document": {**body["document"], "budget": {}}},
        {**body, "document": {**body["document"], "quotas": {"a": {"where": "true", "min": 9}}}},
    ):
        with pytest.raises(InvalidMiningRequestError):
            placed_from(broken)


def test_every_ready_made_request_may_be_asked() -> None:
    tables = all_tables(POLICIES["canonical_signals"])
    columns = {
        name: {column for table in own for column in tables[table].arrow_schema.names}
        for name, own in POLICY["relations"].items()
    }
    ready = {name: POLICIES[name] for name in POLICIES.documents if name.startswith("mining_requests/")}
    assert {name.rsplit("/", 1)[1] for name in ready} == {
        "construction", "disagreement", "night_rain", "occlusion", "rare_combinations", "vru_near_path",
    }  # fmt: skip
    triggers = set(POLICIES["triggers"]["triggers"])
    for name, found in ready.items():
        asked = parse_request(found, POLICY)
        assert name == f"mining_requests/{asked.name}"
        for predicate in [*asked.where, *(quota.where for quota in asked.quotas)]:
            check_predicate(predicate, name, columns, POLICY["functions"])
            named = {word for word in predicate.replace("(", " ").split("'")[1::2] if "_" in word}
            assert named <= triggers
    assert KIND == "mining"

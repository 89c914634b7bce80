"""A fingerprint changes with everything that may change the output, and with nothing else."""

from dataclasses import replace
from importlib import metadata
from typing import Any

import pytest

from fleet_assets.operators import STEPS
from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.provenance.fingerprints import Operator, fingerprint, library_versions, policy_digest
from fleet_assets.provenance.ledger import FINGERPRINT_LENGTH

OPERATOR = Operator(
    "toy.step", 1, ("bronze.a",), ("bronze.b",), {"rules": ("x", "y"), "vehicles/*": ()}, libraries=("numpy",)
)
DOCUMENTS: dict[str, dict[str, Any]] = {
    "rules": {"x": 1, "y": [1, 2], "unread": 5},
    "vehicles/red": {"name": "red", "rate": 1},
    "vehicles/blue": {"name": "blue", "rate": 1},
    "other": {"x": 1},
}
INPUTS = [("bronze.a", "1" * 64), ("bronze.c", "2" * 64)]


def made(operator: Operator = OPERATOR, inputs: list[tuple[str, str]] = INPUTS, **given: Any) -> str:
    documents = given.pop("documents", DOCUMENTS)
    return fingerprint(operator, Policies(documents), inputs, vehicle_spec=given.pop("spec", "red"), **given)


def changed(name: str, key: str, value: object) -> dict[str, dict[str, Any]]:
    return {**DOCUMENTS, name: {**DOCUMENTS[name], key: value}}


def test_a_fingerprint_is_stable_short_hex() -> None:
    assert made() == made() == made(inputs=INPUTS[::-1])
    assert len(made()) == FINGERPRINT_LENGTH
    assert set(made()) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "other",
    [
        made(replace(OPERATOR, version=2)),
        made(replace(OPERATOR, name="toy.other")),
        made(replace(OPERATOR, libraries=("numpy", "scipy"))),
        made(replace(OPERATOR, policy={"rules": ("x",), "vehicles/*": ()})),
        made(inputs=[("bronze.a", "3" * 64), INPUTS[1]]),
        made(inputs=INPUTS[:1]),
        made(inputs=[("bronze.a", "2" * 64), ("bronze.c", "1" * 64)]),
        made(documents=changed("rules", "x", 2)),
        made(documents=changed("rules", "y", [2, 1])),
        made(documents=changed("vehicles/red", "rate", 2)),
        made(spec="blue"),
        made(extras={"dbc": "1"}),
        made(documents={name: body for name, body in DOCUMENTS.items() if name != "rules"}),
    ],
)
def test_whatever_may_change_the_output_changes_the_fingerprint(other: str) -> None:
    assert other != made()


@pytest.mark.parametrize(
    "documents",
    [changed("rules", "unread", 6), changed("vehicles/blue", "rate", 9), changed("other", "x", 9)],
)
def test_keys_that_the_operator_does_not_read_leave_its_fingerprint(documents: dict[str, Any]) -> None:
    assert made(documents=documents) == made()


def test_outputs_and_declared_inputs_are_not_part_of_it_but_their_content_is() -> None:
    assert made(replace(OPERATOR, outputs=("bronze.z",), inputs=())) == made()


def test_named_libraries_enter_with_their_installed_version_and_missing_ones_as_absent() -> None:
    named = replace(OPERATOR, libraries=("numpy", "no-such-distribution"))
    assert library_versions(named) == {"numpy": metadata.version("numpy"), "no-such-distribution": "absent"}


def test_the_code_version_of_the_asset_is_name_and_version() -> None:
    assert OPERATOR.code_version == "toy.step.1"


@pytest.mark.parametrize("operator", [step.operator for step in STEPS], ids=lambda operator: str(operator.name))
def test_every_operator_declares_only_policies_and_keys_that_exist(operator: Operator) -> None:
    """A misspelt key would be read as absent for ever, and its changes restate nothing."""
    policies = load_policies()
    for name, keys in operator.policy.items():
        folder = name.removesuffix("*")
        specs = [name] if folder == name else [spec for spec in policies.documents if spec.startswith(folder)]
        assert specs
        for spec in specs:
            assert set(keys) <= set(policies[spec]), spec
    assert policy_digest(operator, policies, "comma2k19_rav4")
    assert "absent" not in library_versions(operator).values()


def test_every_table_is_written_by_one_operator() -> None:
    outputs = [name for step in STEPS for name in step.operator.outputs]
    assert len(outputs) == len(set(outputs))


def test_operators_come_after_those_whose_tables_they_read() -> None:
    written: set[str] = set()
    for step in STEPS:
        assert set(step.operator.inputs) <= written, step.operator.name
        written |= set(step.operator.outputs)

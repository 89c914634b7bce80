"""Which areas get which access: ingestion alone is handed a platform that opens class raw, in assets and in gates."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from fleet_assets.build import build_defs
from fleet_assets.provenance.objects import RAW
from resources.profiles import PROFILES, profile_named

LATER = ("mining", "training", "release", "deployment", "monitoring", "governance", "reliability")
NOT_THERE_YET = {"training", "release", "deployment", "monitoring", "governance", "reliability"}
"""Areas without an asset: of them, nothing can be asked. Whoever adds the first one takes the area out of here."""


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.Definitions]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEET_HOME", str(tmp_path_factory.mktemp("home")))
        yield build_defs(profile="local")


def asking(defs: dg.Definitions, area: str) -> Mapping[str, Collection[str]]:
    """Resources that each asset and each gate of an area asks for, by the name of its step."""
    assets: list[Any] = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]
    groups = {spec.key: spec.group_name for asset in assets for spec in asset.specs}
    made = {
        one.node_def.name: one.required_resource_keys
        for one in assets
        if area in {spec.group_name for spec in one.specs}
    }
    judged = {
        one.node_def.name: one.required_resource_keys
        for one in defs.asset_checks or ()
        if isinstance(one, dg.AssetChecksDefinition) and area in {groups[spec.asset_key] for spec in one.check_specs}
    }
    assert not made.keys() & judged.keys()
    return {**made, **judged}


def opening_raw(defs: dg.Definitions, area: str) -> set[str]:
    """Steps of an area that ask for a resource which opens class raw."""
    resources = defs.resources or {}
    granted = {key for key, one in resources.items() if RAW in one.granted}
    return {step for step, keys in asking(defs, area).items() if granted & set(keys)}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_gives_later_areas_class_open_only(profile: str) -> None:
    resources = profile_named(profile).resources
    assert resources["fleet"].granted == ["open"]
    assert [key for key, one in resources.items() if "raw" in one.granted] == ["ingestion"]


def test_every_asset_belongs_to_ingestion_or_to_a_later_area(defs: dg.Definitions) -> None:
    """An area that nobody listed here would be asked nothing."""
    made = {spec.group_name for one in defs.assets or () if isinstance(one, dg.AssetsDefinition) for spec in one.specs}
    assert made == {"ingestion", *LATER} - NOT_THERE_YET


@pytest.mark.parametrize("area", [area for area in LATER if area not in NOT_THERE_YET])
def test_no_asset_and_no_gate_of_a_later_area_is_handed_a_platform_that_opens_raw(
    defs: dg.Definitions, area: str
) -> None:
    steps = asking(defs, area)
    assert any(step.startswith("gates_of_") for step in steps)
    assert any(not step.startswith("gates_of_") for step in steps)
    assert all("fleet" in keys for keys in steps.values())
    assert opening_raw(defs, area) == set()


def test_assets_and_gates_of_ingestion_are_found_to_open_raw(defs: dg.Definitions) -> None:
    """The same question, where the answer is yes."""
    assert opening_raw(defs, "ingestion") == set(asking(defs, "ingestion"))

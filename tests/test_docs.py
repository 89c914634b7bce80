"""The documentation says what is there: tables, commands, links, examples."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs.tables import TARGET, tables_page
from fleet_assets.cli import main
from fleet_assets.ingestion.recordings.open import FORMATS
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import load_document, load_policies
from fleet_assets.policy.units import UNIT_NAMES
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from fleet_assets.provenance.manifest import parse_manifest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of one language."""
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that can be typed, with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(main))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings as code hosts make them: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def typed_commands(page: Path) -> Iterator[list[str]]:
    """What a reader would type, without comments."""
    for block in blocks(page, "bash"):
        for line in block.splitlines():
            if line.removeprefix(".venv/bin/").startswith("fleet "):
                yield shlex.split(line.removeprefix(".venv/bin/"), comments=True)[1:]


def test_the_reference_of_the_tables_is_what_the_schemas_say() -> None:
    assert TARGET.read_text(encoding="utf-8") == tables_page(), "run `python -m docs.tables`"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_explained_among_the_operations(words: tuple[str, ...]) -> None:
    assert f"fleet {' '.join(words)}" in (DOCS / "operations.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{page.name}: no heading {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_in_the_documentation_can_be_typed(page: Path) -> None:
    for typed in typed_commands(page):
        words = next((words for words in COMMANDS if tuple(typed[: len(words)]) == words), None)
        assert words is not None, f"{page.name}: fleet {' '.join(typed)}"
        known = {option for parameter in COMMANDS[words].params for option in parameter.opts}
        options = {word for word in typed if word.startswith("--")}
        assert options <= known, f"{page.name}: fleet {' '.join(typed)}"


def test_the_worked_example_of_a_vehicle_spec_is_one() -> None:
    policies = load_policies()
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    (example,) = [text for text in blocks(DOCS / "vehicle_specs.md", "yaml") if text.startswith("schema:")]
    spec = parse_vehicle_spec(load_document(example.encode(), "vehicle_specs.md"), "", canonical)
    assert spec.utc_from == ("gnss",)
    assert spec.sensors["wheels"].signals["speed_mps"].to_canonical.scale == pytest.approx(1 / 3.6)


def test_the_list_of_units_is_complete() -> None:
    section = (DOCS / "vehicle_specs.md").read_text().split("## Units")[1].split("\n## ")[0]
    listed = re.findall(r"`([^`]+)`", section.split("| quantity")[1].split("\n\n")[0])
    assert sorted(listed) == sorted(UNIT_NAMES)


def test_the_example_of_a_manifest_is_one() -> None:
    (example,) = blocks(DOCS / "operations.md", "json")
    document = json.loads(example)
    document["files"][0]["sha256"] = "0" * 64
    assert parse_manifest(json.dumps(document).encode()).drive_id == "car7-0042"


def test_every_policy_document_and_every_severity_is_explained() -> None:
    page = (DOCS / "policies.md").read_text()
    policies = load_policies()
    documents = {name for name in policies.documents if "/" not in name}
    assert {name for name in documents if f"[{name}](../policies/{name}.yaml)" in page} == documents
    severities = {rule["severity"] for rule in policies["integrity"]["rules"].values()}
    assert all(f"| `{severity}` |" in page for severity in severities)


def test_pictures_are_small_enough_for_a_repository() -> None:
    sizes = {path.name: path.stat().st_size for path in (DOCS / "images").glob("*.png")}
    statistics = {f"simulator_{name}.png" for name in ("allan_deviations", "distances", "distributions")}
    assert set(sizes) == {"asset.png", "failed_gate.png", "lineage.png", "partitions.png", "preview.png"} | statistics
    assert max(sizes.values()) < 300_000


def test_every_recording_format_and_every_vehicle_is_told_of() -> None:
    page = (DOCS / "recording_formats.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])} == set(FORMATS)
    vehicles = [name for name in load_policies().documents if name.startswith("vehicles/")]
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in vehicles if f"`{name.removeprefix('vehicles/')}`" not in changes] == []


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_the_help_of_every_command_ends_with_an_example_on_lines_of_its_own(words: tuple[str, ...]) -> None:
    text = COMMANDS[words].get_help(click.Context(COMMANDS[words], info_name=words[-1]))
    assert "\\b" not in text
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  Example"))
    assert any(line.strip().startswith(f"fleet {' '.join(words)}") for line in lines[first + 1 :])

"""Who may import whom: the contracts of pyproject.toml hold, leave nobody out, and each of them bites."""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("fleet_assets", "partitions", "resources", "sensors", "asset_checks", "services")
SHARED_ROOMS = {"tables", "evidence", "provenance", "policy", "geo", "perception"}
COMPOSITION = {"commands"}
LINTER = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in LINTER["contracts"]}

VIOLATIONS = {
    "Areas meet in tables and never import each other": (
        "fleet_assets/mining/steps.py",
        "import fleet_assets.ingestion.vehicle",
    ),
    "Shared rooms import no area, and nothing of the orchestration": (
        "fleet_assets/evidence/intervals.py",
        "import fleet_assets.ingestion.vehicle",
    ),
    "Domain modules import no dagster, resources, sensors, checks or partitions": (
        "fleet_assets/ingestion/steps.py",
        "import dagster",
    ),
    "Only build.py composes assets": (
        "fleet_assets/crank.py",
        "import fleet_assets.ingestion.integrity_and_pii_redaction.assets",
    ),
    "Only the command line imports commands": ("resources/home.py", "import fleet_assets.commands.session"),
    "Partitions import dagster only": ("partitions/keys.py", "import resources.home"),
    "Resources import shared rooms only": ("resources/sql.py", "import fleet_assets.ingestion.steps"),
    "Checks know nothing of sensors and of what composes them": ("asset_checks/gates.py", "import sensors.conditions"),
    "Sensors know nothing of checks and of what composes them": ("sensors/automation.py", "import asset_checks.gates"),
    "The simulator knows shared rooms only": (
        "services/fleet_simulator/world/routes.py",
        "import fleet_assets.ingestion.units",
    ),
    "Nothing of the pipeline knows the simulator": (
        "fleet_assets/tables/schema.py",
        "import services.fleet_simulator.world.routes",
    ),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over a working tree."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def outcomes(printed: str) -> dict[str, bool]:
    """Contract → whether it is kept."""
    kept = {}
    for line in printed.splitlines():
        for name in CONTRACTS:
            if line.startswith((f"{name} KEPT", f"{name} BROKEN")):
                kept[name] = "KEPT" in line
    return kept


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_contract_is_kept() -> None:
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert outcomes(done.stdout) == dict.fromkeys(CONTRACTS, True)


def test_every_contract_bites(tmp_path: Path) -> None:
    """A rule that nothing can break is no rule: one violation of each, in a copy."""
    for package in (*PACKAGES, "policies"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for file, line in VIOLATIONS.values():
        path = tmp_path / file
        path.write_text(f"{path.read_text()}\n\ndef _violates() -> None:\n    {line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stderr[-2000:]
    assert outcomes(done.stdout) == {name: name not in VIOLATIONS for name in CONTRACTS}
    assert set(CONTRACTS) == set(VIOLATIONS)


def test_every_package_is_a_shared_room_or_an_area_that_the_contracts_know() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "fleet_assets").glob("*/__init__.py")}
    areas = {f"fleet_assets.{name}" for name in folders - SHARED_ROOMS - COMPOSITION}
    assert {f"fleet_assets.{name}" for name in SHARED_ROOMS} == set(
        CONTRACTS["Shared rooms import no area, and nothing of the orchestration"]["source_modules"]
    )
    assert areas == set(CONTRACTS["Areas meet in tables and never import each other"]["modules"])
    domain = CONTRACTS["Domain modules import no dagster, resources, sensors, checks or partitions"]["source_modules"]
    assert areas <= set(domain)
    for name in ("Shared rooms import no area, and nothing of the orchestration", "Resources import shared rooms only"):
        assert areas <= set(CONTRACTS[name]["forbidden_modules"]), name
    assert tuple(LINTER["root_packages"]) == PACKAGES


@pytest.mark.parametrize("package", [*PACKAGES, "tests", "benchmarks", "docs"])
def test_nobody_imports_dagsters_private_modules(package: str) -> None:
    private = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in (REPOSITORY / package).rglob("*.py")
        for name in imported(path)
        if name.startswith(("dagster._", "dagster_shared"))
    }
    assert private == set()


def test_partitions_import_dagster_and_the_standard_library_only() -> None:
    outside = {
        name.split(".")[0]
        for path in (REPOSITORY / "partitions").rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert outside == {"dagster", "partitions"}


def test_domain_modules_read_neither_clock_nor_environment() -> None:
    """They are pure: the same drive gives the same rows, whenever and wherever."""
    impure = {
        f"{path.relative_to(REPOSITORY)}: {ast.unparse(node)}"
        for room in ("ingestion", "evidence", "tables")
        for path in (REPOSITORY / "fleet_assets" / room).rglob("*.py")
        if path.name != "assets.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node)
        in {"os.environ", "os.getenv", "time.time", "time.time_ns", "datetime.now", "random.random"}
    }
    assert impure == set()

"""Uploads that no fleet should take, written into its landing zone by hand, and what each must be answered with.

The tests that put them there and look at the answers are in `test_bad_input.py`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.harness import CSS_SPEC, TestFleet, utc_ns
from tests.mdf4_factory import MDF4_DBC, MDF4_SPEC, MDF4_VEHICLE

START: Final = "2024-05-01T08:00:00"
SPECS: Final = {
    "no_message": ("messages: [motion]", "messages: [no_such_message]"),
    "no_unit": ("unit: km/h", "unit: furlong"),
    "no_dbc": ("factory.dbc", "gone.dbc"),
    "binary_dbc": ("factory.dbc", "binary.dbc"),
    "outer_dbc": ("factory.dbc", "../../../outer.dbc"),
    "other_channel": ("channel: CAN", "channel: LIN"),
}
"""Vehicle specs that load but do not fit, each with what is changed of a good one."""

REFUSED: Final = {
    "no-depot": ("manifest_schema", "'depot' is a required property", "manifest.schema.json"),
    "new-depot": ("unknown_depot", "mars", "fleet depot add mars"),
    "new-spec": ("unknown_vehicle_spec", "no_such_spec", "policies/vehicles/no_such_spec.yaml"),
    "early": ("before_first_day", "2020-01-01", "first_day"),
    "future": ("in_the_future", "2090-01-01", "--start"),
    "parent": ("path_traversal", "../outer", "inside the folder"),
    "absolute": ("path_traversal", "/etc/passwd", "inside the folder"),
    "backslash": ("path_traversal", "outer", "inside the folder"),
    "nul": ("path_traversal", "\\x00", "inside the folder"),
    "folder-manifest": ("manifest_file", "a folder", "manifest.json"),
    "linked-manifest": ("manifest_file", "a link", "manifest.json"),
    "no-json": ("manifest_json", "line 1", "JSON"),
    "nested-json": ("manifest_json", "recursion", "JSON"),
    "bytes-json": ("manifest_json", "line 1", "JSON"),
}
"""Uploads that have no partition → rule, part of the value, part of the remedy."""

REJECTED: Final = {
    "wrong-digest": ("sha256_mismatch", "Upload the file again"),
    "wrong-size": ("size_mismatch", "Upload the file again"),
    "no-file": ("missing_file", "fleet replay"),
    "ten-thousand": ("missing_file", "fleet replay"),
    "linked-file": ("path_traversal", "Upload the file itself"),
    "empty-file": ("found empty", "use one of the formats"),
    "text-file": ("found text", "use one of the formats"),
    "cut-file": ("broken_block", "Upload the file again"),
    "css-of-comma": ("wrong_format", "Name the vehicle spec"),
    "spec-no_message": ("no_such_message", "Correct the name"),
    "spec-no_unit": ("invalid_vehicle_spec", "Use one of"),
    "spec-no_dbc": ("missing_dbc", "Put the file in one of these folders"),
    "spec-binary_dbc": ("not a valid CAN database", "Correct the line"),
    "spec-outer_dbc": ("missing_dbc", "Give a name relative"),
}
"""Drives that landing registers as rejected → part of the rule, part of the remedy."""


@dataclass(frozen=True)
class Zone:
    """A landing zone that anyone may write into.

    Attributes:
        fleet: Its fleet.
    """

    fleet: TestFleet

    @property
    def root(self) -> Path:
        """The zone's folder."""
        return self.fleet.fleet.settings.landing

    def put(self, name: str, content: Mapping[str, bytes], *, folder: str | None = None, **stated: Any) -> Path:
        """Write an upload by hand; `stated` replaces what its manifest says, None leaves it out."""
        upload = self.root / (folder or name)
        upload.mkdir(parents=True)
        for path, payload in content.items():
            (upload / path).write_bytes(payload)
        manifest = {
            "schema": "fleet.manifest/v1", "drive_id": name, "vehicle_id": f"car-{name}", "vehicle_spec": MDF4_VEHICLE,
            "depot": "south", "start_ns": utc_ns(START), "time_source": "gnss",
            "files": [promise(path, payload) for path, payload in content.items()], **stated,
        }  # fmt: skip
        stating = {key: value for key, value in manifest.items() if value is not None}
        (upload / "manifest.json").write_text(json.dumps(stating))
        return upload

    def content(self) -> dict[str, str]:
        """Digest of every file, target of every link, under the zone."""
        return {
            str(path.relative_to(self.root)): str(path.readlink())
            if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.root.rglob("*"))
            if path.is_symlink() or path.is_file()
        }


def promise(path: str, content: bytes) -> dict[str, Any]:
    """The entry of a file in a manifest."""
    return {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def put_without_partition(zone: Zone, recording: bytes) -> None:
    """The uploads of `REFUSED`."""
    files = {"1.MF4": recording}
    zone.put("no-depot", files, depot=None)
    zone.put("new-depot", files, depot="mars")
    zone.put("new-spec", files, vehicle_spec="no_such_spec")
    zone.put("early", files, start_ns=utc_ns("2020-01-01T00:00:00"))
    zone.put("future", files, start_ns=utc_ns("2090-01-01T00:00:00"))
    hostile = {"parent": "../outer", "absolute": "/etc/passwd", "backslash": "..\\outer", "nul": "a\x00b"}
    for name, path in hostile.items():
        zone.put(name, {}, files=[promise(path, b"x")])
    (zone.root / "folder-manifest" / "manifest.json").mkdir(parents=True)
    (zone.root / "linked-manifest").mkdir()
    (zone.root / "linked-manifest" / "manifest.json").symlink_to(zone.root / "early" / "manifest.json")
    for name, text in {"no-json": b"{", "nested-json": b"[" * 200_000, "bytes-json": b"\xff\xfe"}.items():
        (zone.root / name).mkdir()
        (zone.root / name / "manifest.json").write_bytes(text)


def put_unusable(zone: Zone, recording: bytes, arrays: Path) -> None:
    """The uploads of `REJECTED`."""
    stated = promise("1.MF4", recording)
    zone.put("wrong-digest", {"1.MF4": recording}, files=[{**stated, "sha256": "0" * 64}])
    zone.put("wrong-size", {"1.MF4": recording}, files=[{**promise("1.MF4", recording + b"+"), "bytes": 7}])
    zone.put("no-file", {}, files=[promise("1.MF4", b"never sent")])
    zone.put("ten-thousand", {}, files=[promise(f"{number}.MF4", b"%d" % number) for number in range(10_000)])
    linked = zone.put("linked-file", {}, files=[promise("1.MF4", b"outside")])
    outside = zone.fleet.home.parent / "outside"
    outside.write_bytes(b"outside")
    (linked / "1.MF4").symlink_to(outside)
    zone.put("empty-file", {"1.MF4": b""})
    zone.put("text-file", {"1.MF4": b"hello\n"})
    zone.put("cut-file", {"1.MF4": recording[:30_000]})
    zone.put("css-of-comma", {"value": (arrays / "value").read_bytes()}, vehicle_spec=CSS_SPEC)
    for spec in SPECS:
        zone.put(f"spec-{spec}", {"1.MF4": recording + spec.encode()}, vehicle_spec=spec)


def write_specs(folder: Path) -> None:
    """The vehicle specs of `SPECS` and the databases that some of them name."""
    for name, (good, bad) in SPECS.items():
        (folder / f"{name}.yaml").write_text(MDF4_SPEC.replace("factory_mdf4", name).replace(good, bad))
    (folder / "binary.dbc").write_bytes(bytes(range(256)))
    (folder / "canmod-gps.dbc").write_text('VERSION ""\n')
    (folder.parents[2] / "outer.dbc").write_text(MDF4_DBC)

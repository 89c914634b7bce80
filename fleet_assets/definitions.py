"""What `workspace.yaml` loads."""

from fleet_assets.build import build_defs

defs = build_defs()

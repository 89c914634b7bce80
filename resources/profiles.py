"""Profiles: which implementations stand behind the resources on a laptop, on AWS and on Kubernetes.

Settings of the remote profiles come from the environment when the code location loads; nothing is contacted then.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg

from resources.home import home_path
from resources.platform import Fleet

PROFILES: Final = ("local", "aws", "k8s")


class UnknownProfileError(ValueError):
    """A profile name that does not exist."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Resources by key, and the executor of runs."""

    resources: Mapping[str, Any]
    executor: dg.ExecutorDefinition


def _fleet(granted: list[str], **settings: Any) -> Fleet:
    return Fleet(home=str(home_path()), granted=granted, **settings)


def local_fleet(home: Path) -> Fleet:
    """The platform of a home on this machine, with access to raw recordings."""
    return Fleet(home=str(home), granted=["raw", "open"])


def _resources(**settings: Any) -> dict[str, Any]:
    """`ingestion` may open raw recordings; `fleet`, which every later area gets, may not."""
    return {"ingestion": _fleet(["raw", "open"], **settings), "fleet": _fleet(["open"], **settings)}


def _bucket() -> str:
    return os.environ.get("FLEET_BUCKET", "fleet-assets")


def _local() -> Profile:
    return Profile(_resources(), dg.in_process_executor)


def _aws() -> Profile:
    catalog = {"type": "glue", "warehouse": f"s3://{_bucket()}/lake"}
    endpoint = os.environ.get("FLEET_S3_ENDPOINT", "")
    return Profile(_resources(catalog=catalog, bucket=_bucket(), endpoint_url=endpoint), dg.in_process_executor)


def _k8s() -> Profile:
    catalog = {
        "type": "rest",
        "uri": os.environ.get("FLEET_CATALOG_URI", "http://iceberg-rest:8181"),
        "warehouse": f"s3://{_bucket()}/lake",
    }
    endpoint = os.environ.get("FLEET_S3_ENDPOINT", "")
    # A pod per partition run is the run launcher's business (deploy/); inside it, steps run in one process.
    return Profile(_resources(catalog=catalog, bucket=_bucket(), endpoint_url=endpoint), dg.in_process_executor)


def profile_named(name: str) -> Profile:
    """Profile by name.

    Raises:
        UnknownProfileError: Naming the known ones.
    """
    makers = {"local": _local, "aws": _aws, "k8s": _k8s}
    if name not in makers:
        raise UnknownProfileError(
            f"profile {name!r} does not exist. Set FLEET_PROFILE to one of: {', '.join(PROFILES)}."
        )
    return makers[name]()

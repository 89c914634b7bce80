"""`python -m services.fleet_simulator.camera.installing`: the system's OpenGL libraries, where a user may install them.

Here belongs what `make setup` does for the camera. It never fails and never asks for a password: without OpenGL every
other sensor works.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from services.fleet_simulator.camera.gpu import PACKAGES

APT: Final = "apt-get"
_OPTIONS: Final = ("-qq", "-o", "DPkg::Lock::Timeout=30", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10")
_MOST_S: Final = 300


class System(Protocol):
    """The machine, as far as installing needs it."""

    def camera_reason(self) -> str | None:
        """Why there can be no camera, or None."""
        ...

    def has(self, program: str) -> bool:
        """Whether a program is on the path."""
        ...

    def is_root(self) -> bool:
        """Whether this process may do everything."""
        ...

    def run(self, command: Sequence[str]) -> bool:
        """Run a command without input; whether it ended well."""
        ...


class ThisSystem:
    """The machine that this runs on."""

    def camera_reason(self) -> str | None:
        """See `System.camera_reason`; asked in a process of its own, since libraries stay as they were loaded."""
        code = "from services.fleet_simulator.camera.gpu import unavailable_reason as r; print(r() or '')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - fixed
        told = done.stdout.strip()
        return (told or done.stderr.strip()[-300:] or "it ended without a word") if done.returncode else told or None

    def has(self, program: str) -> bool:
        """See `System.has`."""
        return shutil.which(program) is not None

    def is_root(self) -> bool:
        """See `System.is_root`."""
        return os.geteuid() == 0

    def run(self, command: Sequence[str]) -> bool:
        """See `System.run`."""
        environment: Mapping[str, str] = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            done = subprocess.run(  # noqa: S603 - fixed programs, no shell
                list(command),
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_MOST_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def install(system: System) -> str:
    """Install what the camera needs, where that is possible without a question.

    Returns:
        What a person should know: that it is there, or exactly what to install.
    """
    if (reason := system.camera_reason()) is None:
        return "camera: OpenGL is there"
    by_hand = f"camera: {reason} Every other sensor works without it."
    if not system.has(APT):
        return by_hand
    before: tuple[str, ...] = ()
    if not system.is_root():
        if not (system.has("sudo") and system.run(["sudo", "-n", "true"])):
            return by_hand
        before = ("sudo", "-n")
    command = [*before, APT, *_OPTIONS, "install", "-y", "--no-install-recommends", *PACKAGES]
    # Package lists may be there already, and fetching them takes longest.
    if not system.run(command):
        system.run([*before, APT, *_OPTIONS, "update"])
        system.run(command)
    if system.camera_reason() is None:
        return f"camera: installed {', '.join(PACKAGES)}"
    return by_hand


if __name__ == "__main__":
    print(install(ThisSystem()))

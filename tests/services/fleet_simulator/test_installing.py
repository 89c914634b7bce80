"""`make setup` and the camera's system libraries: installed without a question, or said what to install."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.fleet_simulator.camera.gpu import PACKAGES
from services.fleet_simulator.camera.installing import ThisSystem, install

MISSING = f"no OpenGL. Install {' '.join(PACKAGES)}."


@dataclass
class Machine:
    """A machine whose commands do what they would do there."""

    programs: tuple[str, ...] = ("apt-get", "sudo")
    root: bool = False
    sudo_needs_password: bool = False
    lists_are_fresh: bool = True
    online: bool = True
    installed: bool = False
    commands: list[list[str]] = field(default_factory=list)

    def camera_reason(self) -> str | None:
        """Keep `System.camera_reason`."""
        return None if self.installed else MISSING

    def has(self, program: str) -> bool:
        """Keep `System.has`."""
        return program in self.programs

    def is_root(self) -> bool:
        """Keep `System.is_root`."""
        return self.root

    def run(self, command: Sequence[str]) -> bool:
        """Keep `System.run`; noted down."""
        self.commands.append(list(command))
        if command[0] == "sudo" and (self.sudo_needs_password or command[1] != "-n"):
            return False
        if "update" in command:
            self.lists_are_fresh = self.lists_are_fresh or self.online
            return self.online
        if "install" in command:
            self.installed = self.online and self.lists_are_fresh and set(PACKAGES) <= set(command)
            return self.installed
        return True


@pytest.mark.parametrize("lists_are_fresh", [True, False])
@pytest.mark.parametrize("root", [True, False])
def test_who_may_install_without_a_password_gets_the_libraries(root: bool, lists_are_fresh: bool) -> None:
    machine = Machine(root=root, lists_are_fresh=lists_are_fresh)
    assert "installed" in install(machine)
    assert machine.installed
    assert root == all(command[0] == "apt-get" for command in machine.commands)


@pytest.mark.parametrize(
    "machine",
    [
        Machine(programs=()),
        Machine(programs=("apt-get",)),
        Machine(sudo_needs_password=True),
        Machine(root=True, online=False),
    ],
    ids=["no Debian", "no sudo", "sudo asks for a password", "offline"],
)
def test_who_may_not_is_told_exactly_what_to_install(machine: Machine) -> None:
    told = install(machine)
    assert not machine.installed
    assert all(package in told for package in PACKAGES)
    assert "other sensor works" in told


def test_nothing_is_installed_where_the_camera_works() -> None:
    machine = Machine(installed=True, root=True)
    install(machine)
    assert machine.commands == []


def test_a_missing_driver_is_found_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_DIRS", "/nonexistent")
    reason = ThisSystem().camera_reason()
    assert reason is not None
    assert "OpenGL" in reason


def test_a_command_that_is_not_there_is_no_success() -> None:
    assert not ThisSystem().run(["a-program-that-nobody-has"])
    assert ThisSystem().run(["true"])
    assert not ThisSystem().run(["false"])

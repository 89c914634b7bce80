"""The crank ticks sensors in order, executes what they ask for at once, and stops when nobody asks for anything."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dagster as dg
import pytest

import fleet_assets.crank
from fleet_assets.crank import Crank
from resources.processes import WAITING

Answer = Callable[[list[str]], str | None]
"""What a sensor says, given the assets made so far: the asset that it wants, None, or why it waits."""


@dataclass
class Workshop:
    """Two assets, and sensors that ask for them as told.

    Attributes:
        answers: What each sensor says.
        made: Assets in the order in which they were made.
        ticked: Sensors in the order of their ticks.
        on_make: Called while an asset is made.
    """

    answers: dict[str, Answer]
    made: list[str] = field(default_factory=list)
    ticked: list[str] = field(default_factory=list)
    on_make: Callable[[], None] = lambda: None

    def definitions(self) -> dg.Definitions:
        """Everything, as the crank gets it."""
        return dg.Definitions(
            assets=[self._asset(name) for name in ("wheel", "wagon")],
            sensors=[self._sensor(name, answer) for name, answer in self.answers.items()],
        )

    def _asset(self, name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name)
        def make() -> None:
            self.made.append(name)
            self.on_make()

        return make

    def _sensor(self, name: str, answer: Answer) -> dg.SensorDefinition:
        @dg.sensor(name=name, asset_selection="*")
        def ask() -> dg.SensorResult | dg.SkipReason:
            self.ticked.append(name)
            said = answer(self.made)
            if said in {"wheel", "wagon"}:
                wanted = dg.RunRequest(run_key=f"{said}-{len(self.made)}", asset_selection=[dg.AssetKey(said)])
                return dg.SensorResult(run_requests=[wanted])
            return dg.SkipReason(said or "nothing to do")

        return ask

    def turn(self, sensors: Sequence[str], on_wait: Callable[[str], None] = lambda _: None) -> list[str]:
        """What was asked for by whom, until nothing was."""
        with dg.DagsterInstance.ephemeral() as instance:
            runs = Crank(self.definitions(), instance, sensors=sensors, on_wait=on_wait).turn()
        assert all(run.success for run in runs)
        return [f"{run.source}: {', '.join(run.assets)}" for run in runs]


def nothing(_: list[str]) -> None:
    return None


def test_what_one_sensor_asked_for_is_made_before_the_next_one_is_ticked() -> None:
    shop = Workshop(
        {
            "wheels": lambda made: None if "wheel" in made else "wheel",
            "wagons": lambda made: "wagon" if made == ["wheel"] else None,
        }
    )
    assert shop.turn(["wheels", "wagons"]) == ["wheels: wheel", "wagons: wagon"]
    assert shop.ticked == ["wheels", "wagons", "wheels", "wagons"]


def test_a_sensor_that_asked_for_nothing_is_ticked_again_only_once_something_ran() -> None:
    shop = Workshop({"wheels": lambda made: None if made else "wheel", "idle": nothing, "lazy": nothing})
    shop.turn(["lazy", "wheels", "idle"])
    assert shop.ticked == ["lazy", "wheels", "idle", "lazy", "wheels"]


def test_where_nothing_is_asked_for_every_sensor_is_ticked_once() -> None:
    shop = Workshop({"wheels": nothing, "wagons": nothing})
    assert shop.turn(["wheels", "wagons"]) == []
    assert shop.ticked == ["wheels", "wagons"]


def test_a_sensor_that_waits_for_another_process_is_ticked_again_until_that_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_assets.crank, "runs_elsewhere", lambda _: True)
    monkeypatch.setattr(fleet_assets.crank, "POLL_S", 0.0)
    left = [f"{WAITING}a", f"{WAITING}a", f"{WAITING}b", None]
    told: list[str] = []
    shop = Workshop({"wheels": lambda _: left.pop(0), "idle": nothing})
    assert shop.turn(["wheels", "idle"], told.append) == []
    assert told == [f"{WAITING}a", f"{WAITING}b"]
    assert shop.ticked == ["wheels", "idle", "wheels", "wheels", "wheels"]


def test_a_sensor_that_waits_for_nobody_alive_is_not_waited_for() -> None:
    shop = Workshop({"wheels": lambda _: f"{WAITING}a"})
    assert shop.turn(["wheels"]) == []


def test_a_fleet_that_never_comes_to_rest_says_what_keeps_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_assets.crank, "MAX_TURNS", 3)
    shop = Workshop({"wheels": lambda _: "wheel"})
    with pytest.raises(RuntimeError, match=r"not at rest after 3 rounds; last asked for: \('wheel',\)"):
        shop.turn(["wheels"])
    assert shop.made == ["wheel"] * 3


def test_whoever_stops_it_inside_a_run_stops_all_of_it() -> None:
    """Dagster makes Ctrl-C a failure of the step that it meets; the next request must not be executed then."""
    shop = Workshop(
        {"wheels": lambda _: "wheel", "wagons": lambda _: "wagon"}, on_make=lambda: signal.raise_signal(signal.SIGINT)
    )
    with pytest.raises(KeyboardInterrupt):
        shop.turn(["wheels", "wagons"])
    assert shop.made == ["wheel"]

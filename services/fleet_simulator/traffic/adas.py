"""Who drives the ego vehicle: the driver, or a system that keeps lane and distance and that the driver may override.

Here belongs the state machine. What the driver and the system want differs by numbers of the policy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from services.fleet_simulator.drive_truth import Adas


@dataclass(frozen=True, slots=True)
class Situation:
    """What the system sees.

    Attributes:
        speed_mps: Own speed.
        curvature_1pm: Sharpest bend within the next seconds.
        stop_ahead: Whether a closed stop line is near: there the driver takes back control.
        accel_mps2: Acceleration that the situation asks for.
    """

    speed_mps: float
    curvature_1pm: float
    stop_ahead: bool
    accel_mps2: float


class AdasMachine:
    """States and transitions, one step per decision.

    Args:
        rng: The driver's stream.
        rules: Key `ego.adas` of the policy.
        equipped: Whether the vehicle has the system at all.
        possible: Whether weather lets the system see.
    """

    def __init__(self, rng: np.random.Generator, rules: Mapping[str, float], *, equipped: bool, possible: bool) -> None:
        self._rng, self._rules = rng, rules
        self._equipped, self._possible = equipped, possible
        self._since_s = 0.0
        self.state = Adas.OFF
        self.wanted = False
        """A request wants the system engaged at the next chance."""
        self.fails = False
        """A request lets the system fail now."""
        self.released = False
        """A request lets the driver switch the system off now."""
        self.pressed = False
        """A request lets the driver override the system now."""

    def _go(self, state: Adas) -> None:
        self.state, self._since_s = state, 0.0

    def step(self, seen: Situation, step_s: float) -> Adas:
        """Go to the next state.

        Args:
            seen: The situation.
            step_s: Time since the last step.
        """
        self._since_s += step_s
        rules = self._rules
        fits = (
            self._equipped
            and self._possible
            and seen.speed_mps >= rules["least_speed_mps"]
            and seen.curvature_1pm <= rules["most_curvature_1pm"]
            and not seen.stop_ahead
        )
        # One draw per step whatever the state, so that the stream does not depend on the way here.
        draw = float(self._rng.random())
        if self.state in {Adas.OFF, Adas.READY}:
            self._before(fits, draw, step_s)
        elif self.state is Adas.ENGAGED:
            self._engaged(seen, fits, draw, step_s)
        elif self.state is Adas.OVERRIDDEN:
            if not fits:
                self._go(Adas.OFF)
            elif self._since_s >= rules["override_s"]:
                self._go(Adas.ENGAGED)
        elif self._since_s >= rules["takeover_s"]:
            self._go(Adas.READY if fits else Adas.OFF)
        return self.state

    def _before(self, fits: bool, draw: float, step_s: float) -> None:
        if not fits:
            self._go(Adas.OFF) if self.state is not Adas.OFF else None
        elif self.state is Adas.OFF:
            self._go(Adas.READY)
        elif self.wanted or draw < self._rules["engagements_per_s"] * step_s:
            self._go(Adas.ENGAGED)

    def _engaged(self, seen: Situation, fits: bool, draw: float, step_s: float) -> None:
        rules = self._rules
        failing = draw < rules["failures_per_hour"] * step_s / 3600.0
        if self.fails or failing or seen.accel_mps2 < -rules["most_braking_mps2"]:
            self.fails, self.wanted = False, False
            self._go(Adas.TAKEOVER)
        elif self.released:
            self.released = False
            self._go(Adas.READY if fits else Adas.OFF)
        elif not fits:
            self._go(Adas.OFF)
        elif self.pressed or 1.0 - draw < rules["overrides_per_hour"] * step_s / 3600.0:
            self.pressed = False
            self._go(Adas.OVERRIDDEN)

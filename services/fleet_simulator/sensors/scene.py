"""What sensors can ask of a drive: the ego vehicle's state between its steps, others' places, the world around.

Here belongs reading the truth at any time. Errors of measurement are the sensors' own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import AGENT_STEP_NS, DriveTruth, Track
from services.fleet_simulator.world.road_network import RoadNetwork

MILLI: Final = 1e-3
MICRO: Final = 1e-6
_NO_OBSTACLES: Final = np.empty((0, 6))


@dataclass(frozen=True)
class Scene:
    """A drive and the world that it takes place in.

    Attributes:
        truth: What happens.
        network: Where.
        policy: Section `sensors` of the simulation policy.
        obstacles: float64[m, 6], upright boxes that never move, e.g. buildings: east, north of the middle, yaw (rad),
            length, width, height (metres).
    """

    truth: DriveTruth
    network: RoadNetwork
    policy: Mapping[str, Any]
    obstacles: NDArray[np.float64] = field(default_factory=lambda: _NO_OBSTACLES)

    @property
    def seed(self) -> int:
        """The drive's seed."""
        return self.truth.plan.seed

    @property
    def start_ns(self) -> int:
        """True time of the first state."""
        return int(self.truth.ego.t_ns[0])

    @property
    def end_ns(self) -> int:
        """True time of the last state."""
        return int(self.truth.ego.t_ns[-1])

    def ego(self, name: str, t_ns: NDArray[np.int64], scale: float = MILLI) -> NDArray[np.float64]:
        """A value of the ego vehicle at times between its steps, in a straight line from step to step.

        Args:
            name: Array of `drive_truth.Ego`.
            t_ns: True times.
            scale: Unit of the result, as a factor.
        """
        seconds = (t_ns - self.start_ns) * 1e-9
        values: NDArray[np.float64] = np.interp(seconds, self._steps_s, getattr(self.truth.ego, name))
        return values * scale

    def ego_state(self, name: str, t_ns: NDArray[np.int64]) -> NDArray[Any]:
        """A state of the ego vehicle that holds until the next step, e.g. `adas` or `edge_id`."""
        rows = np.searchsorted(self.truth.ego.t_ns, t_ns, side="right") - 1
        values: NDArray[Any] = getattr(self.truth.ego, name)[np.maximum(rows, 0)]
        return values

    @cached_property
    def _steps_s(self) -> NDArray[np.float64]:
        return np.asarray((self.truth.ego.t_ns - self.start_ns) * 1e-9, dtype=np.float64)

    def times_of(self, track: Track) -> NDArray[np.float64]:
        """Seconds since the drive's start of a road user's states."""
        return np.arange(track.first_step, track.end_step, dtype=np.float64) * (AGENT_STEP_NS * 1e-9)

    @cached_property
    def classes(self) -> Mapping[int, str]:
        """Road class by edge."""
        return {number: edge.road_class for number, edge in self.network.edges.items()}

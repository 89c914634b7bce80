"""What is written down of a drive while it is simulated: states of everybody, and what lay before the ego vehicle.

Here belongs quantising and collecting. Events are found in these notes by `events.py`.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import Track
from services.fleet_simulator.traffic.corridor import ONCOMING, Corridor
from services.fleet_simulator.traffic.motion import lamps_of, poses
from services.fleet_simulator.traffic.pedestrians import Person, ground_height_m, person_poses
from services.fleet_simulator.traffic.road_users import Users
from services.fleet_simulator.traffic.trailers import Trailer, trailer_yaw

_FAR_MM: Final = 10_000_000
"""Distance to nothing."""
_OVERLAP_M: Final = 0.15
"""Bodies that overlap by more across the road are in each other's way."""
_QUEUE_M: Final = 25.0
_TOGETHER: Final = 200
"""Steps that are written down together."""


@dataclass(frozen=True)
class EgoView:
    """What lay before the ego vehicle, one value per step of the agents.

    Attributes:
        leader: int64[m], agent ahead in the ego's way, 0 for none.
        gap_mm: int64[m], bumper to bumper distance to it.
        leader_mmps: int64[m], its speed.
        leader_alone: bool[m], whether it stands or drives behind nobody and before no stop line.
        line_mm: int64[m], from the front bumper to the next stop line.
        light_closed: bool[m], whether that line belongs to a light that shows red or yellow.
    """

    leader: NDArray[np.int64]
    gap_mm: NDArray[np.int64]
    leader_mmps: NDArray[np.int64]
    leader_alone: NDArray[np.bool_]
    line_mm: NDArray[np.int64]
    light_closed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Looks:
    """What an agent is."""

    kind: str
    size_mm: tuple[int, int, int]
    look: int
    trailer: Trailer | None = None


def _whole(values: NDArray[np.float64], per_unit: float = 1000.0) -> NDArray[np.int64]:
    rounded: NDArray[np.int64] = np.rint(values * per_unit).astype(np.int64)
    return rounded


class Notes:
    """Collects states; memory grows by some kilobytes per simulated second and agent nearby.

    Args:
        corridor: The corridor.
        kinds: Name, height (m) and trailer of the vehicles by their index.
        headlamps: Whether everybody drives with headlamps lit.
        clear_of_stop_m: Distance from stop lines at which a standing vehicle is nobody's queue.
    """

    def __init__(
        self,
        corridor: Corridor,
        kinds: tuple[tuple[str, float, Trailer | None], ...],
        *,
        headlamps: bool,
        clear_of_stop_m: float,
    ) -> None:
        self._corridor, self._kinds, self._headlamps = corridor, kinds, headlamps
        self._clear_m = clear_of_stop_m
        self._states: list[NDArray[np.int32]] = []
        self._views: list[tuple[int, int, int, bool, int, bool]] = []
        self._pending: list[tuple[int, Users]] = []
        self._looks: dict[int, Looks] = {}
        self._ego_lamps: list[int] = []
        self.adas: list[int] = []

    @property
    def step(self) -> int:
        """Number of steps written down."""
        return len(self._views)

    def write(self, users: Users, persons: list[Person], closed: NDArray[np.bool_], adas: int) -> None:
        """Write one step down.

        Args:
            users: Everybody on wheels.
            persons: Everybody on foot.
            closed: Whether each line of `Corridor.ahead` is a light that is red or yellow.
            adas: State of the ego's system.
        """
        self._pending.append((self.step, users.copy()))
        if persons:
            self._write_persons(persons)
        self._remember_looks(users)
        self._views.append(self._view(users, closed))
        self.adas.append(adas)
        if len(self._pending) == _TOGETHER:
            self._flush()

    def _write_persons(self, persons: list[Person]) -> None:
        rows = np.zeros((len(persons), 8), dtype=np.int32)
        rows[:, 0] = self.step
        for row, (one, pose) in zip(rows, person_poses(persons, self._corridor), strict=True):
            row[1], row[5] = one.agent_id, round(one.now_mps * 1000)
            row[2:5] = [round(value * 1000) for value in pose]
            row[7] = round(ground_height_m(self._corridor, one.s_m, one.d_m) * 1000)
            if one.agent_id not in self._looks:
                length, width, height = (round(value * 1000) for value in one.size_m)
                self._looks[one.agent_id] = Looks(one.kind, (length, width, height), one.look)
        self._states.append(rows)

    def _flush(self) -> None:
        """Poses and lamps of many steps at once: the arithmetic costs less than beginning it."""
        if not self._pending:
            return
        users = np.concatenate([users for _, users in self._pending])
        lamps = lamps_of(users, self._corridor, self._headlamps)
        east, north, yaw = poses(users, self._corridor)
        rows = np.zeros((len(users), 8), dtype=np.int32)
        rows[:, 0] = np.repeat([step for step, _ in self._pending], [len(users) for _, users in self._pending])
        rows[:, 1], rows[:, 2], rows[:, 3] = users["agent_id"], _whole(east), _whole(north)
        rows[:, 4], rows[:, 5], rows[:, 6] = _whole(yaw), _whole(users["speed_mps"]), lamps
        # Row 0 of every step is the ego vehicle.
        is_ego = users["agent_id"] == 0
        self._states.append(rows[~is_ego])
        self._ego_lamps += lamps[is_ego].tolist()
        self._pending = []

    def _remember_looks(self, users: Users) -> None:
        for row in range(len(users) - 1, 0, -1):
            number = int(users["agent_id"][row])
            if number in self._looks:
                return  # Newcomers are appended, so that all before are known.
            kind, height, trailer = self._kinds[int(users["kind"][row])]
            size = (users["length_m"][row], users["width_m"][row], height)
            length, width, tall = (round(float(value) * 1000) for value in size)
            self._looks[number] = Looks(kind, (length, width, tall), int(users["look"][row]), trailer)

    def _view(self, users: Users, closed: NDArray[np.bool_]) -> tuple[int, int, int, bool, int, bool]:
        lines = self._corridor.ahead.line_m
        s, length = users["s_m"], users["length_m"]
        front = float(s[0] + length[0] / 2.0)
        at = int(np.searchsorted(lines, front - 1.0))
        line = round((float(lines[at]) - front) * 1000) if at < len(lines) else _FAR_MM
        light = bool(at < len(lines) and closed[at])
        beside = np.abs(users["d_m"] - users["d_m"][0]) - (users["width_m"] + users["width_m"][0]) / 2.0
        ahead = (users["key"] < ONCOMING) & (s > s[0]) & (beside < -_OVERLAP_M)
        ahead[0] = False
        if not ahead.any():
            return 0, _FAR_MM, 0, False, line, light
        row = int(np.argmin(np.where(ahead, s - length / 2.0, np.inf)))
        gap = float(s[row] - s[0] - (length[row] + length[0]) / 2.0)
        nose = float(s[row] + length[row] / 2.0)
        after = int(np.searchsorted(lines, nose - 1.0))
        free = after == len(lines) or float(lines[after]) - nose > self._clear_m
        alone = free and float(users["gap_m"][row]) > _QUEUE_M
        speed = round(float(users["speed_mps"][row]) * 1000)
        return int(users["agent_id"][row]), round(gap * 1000), speed, alone, line, light

    @property
    def ego_lamps(self) -> list[int]:
        """Lamps of the ego vehicle at every step."""
        self._flush()
        return self._ego_lamps

    def view(self) -> EgoView:
        """All that lay before the ego vehicle."""
        columns = list(zip(*self._views, strict=True))
        return EgoView(
            leader=np.array(columns[0], dtype=np.int64),
            gap_mm=np.array(columns[1], dtype=np.int64),
            leader_mmps=np.array(columns[2], dtype=np.int64),
            leader_alone=np.array(columns[3], dtype=np.bool_),
            line_mm=np.array(columns[4], dtype=np.int64),
            light_closed=np.array(columns[5], dtype=np.bool_),
        )

    def tracks(self) -> tuple[Track, ...]:
        """Everybody's states, agent by agent in order of their numbers."""
        self._flush()
        states: NDArray[Any] = np.concatenate(self._states)
        states = states[np.argsort(states[:, 1], kind="stable")]
        numbers, first = np.unique(states[:, 1], return_index=True)
        bounds = [*first.tolist(), len(states)]
        return tuple(
            self._track(int(number), states[bounds[index] : bounds[index + 1]])
            for index, number in enumerate(numbers.tolist())
        )

    def _track(self, number: int, states: NDArray[Any]) -> Track:
        looks = self._looks[number]
        hitch = begins = 0
        trailing = None
        if looks.trailer is not None:
            x, y, yaw = (states[:, column] / 1000.0 for column in (2, 3, 4))
            hitch, begins = round(looks.trailer.hitch_m * 1000), round(looks.trailer.begins_m * 1000)
            trailing = _whole(trailer_yaw(x, y, yaw, looks.size_mm[0] / 1000.0, looks.trailer)).astype(np.int32)
        return Track(
            agent_id=number,
            kind=looks.kind,
            length_mm=looks.size_mm[0],
            width_mm=looks.size_mm[1],
            height_mm=looks.size_mm[2],
            look=looks.look,
            parked=False,
            first_step=int(states[0, 0]),
            x_mm=np.ascontiguousarray(states[:, 2]),
            y_mm=np.ascontiguousarray(states[:, 3]),
            yaw_mrad=np.ascontiguousarray(states[:, 4]),
            speed_mmps=np.ascontiguousarray(states[:, 5]),
            lamps=states[:, 6].astype(np.uint8),
            z_mm=np.ascontiguousarray(states[:, 7]),
            hitch_mm=hitch,
            trailer_mm=begins,
            trailer_yaw_mrad=trailing,
        )

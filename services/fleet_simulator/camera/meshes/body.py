"""Car bodies as lofts: a side profile and a plan outline give every cross-section.

Here belong the surface itself and patches that lie on it (lamps, grilles, seams). Which profile is a saloon is in
`cars.py`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from services.fleet_simulator.camera.meshes.mesh import FloatArray, Material, Mesh, box, grid_mesh, merged

Curve = tuple[tuple[float, float], ...]
"""Points (share of the length from the front, value)."""

_LOWER: Final = ((0.0, 0.93), (0.10, 0.975), (0.35, 0.995), (0.62, 1.0), (0.80, 0.985), (0.92, 0.972), (1.0, 0.94))
"""Side of the body from the sill to the belt line: share of the height, share of the half width."""
_WINDOW_FOOT, _WINDOW_HEAD = 0.10, 0.80
"""Side windows between these shares of the height from the belt line to the roof."""
_UP: Final = (0.02, _WINDOW_FOOT, 0.45, _WINDOW_HEAD)
"""Levels from the belt line to the roof, shares."""
_CROWN: Final = (0.90, 0.72, 0.45, 0.0)
"""Places across the roof, shares of its half width."""
_FAR_LOWER, _FAR_UP, _FAR_CROWN = (_LOWER[0], _LOWER[2], _LOWER[-1]), (_UP[0], _UP[1], _UP[3]), (0.72, 0.0)
"""The same for what is far away."""
FAR: Final = 2
_GLASS_MARGIN: Final = 0.87
_ENDS: Final = (0.0, 0.004, 0.014, 0.035, 0.06, 0.94, 0.965, 0.986, 0.996, 1.0)
_FAR_ENDS: Final = (0.0, 0.014, 0.06, 0.94, 0.986, 1.0)
_DECAL_M: Final = 0.008


@dataclass(frozen=True)
class BodyShape:
    """Proportions of a body; lengths, heights and half widths are shares of the vehicle's own.

    Attributes:
        top: Height of the silhouette (bonnet, windscreen, roof, rear window, boot).
        belt: Height where the side windows begin.
        plan: Half width seen from above.
        cowl: Where the windscreen begins and the roof does.
        rear_glass: Where the rear window begins (roof) and ends.
        side_windows: From and to of each side window.
        axles: Of the front and rear wheels.
        wheel_radius_m: Radius of the tyres.
        floor_m: Height of the sills.
        tumblehome: How much narrower the roof is than the belt line.
    """

    top: Curve
    belt: Curve
    plan: Curve
    cowl: tuple[float, float]
    rear_glass: tuple[float, float]
    side_windows: tuple[tuple[float, float], ...]
    axles: tuple[float, float]
    wheel_radius_m: float = 0.32
    floor_m: float = 0.20
    tumblehome: float = 0.26


def _smooth(curve: Curve, at: FloatArray) -> FloatArray:
    """A monotone cubic through the points (Fritsch and Butland 1984, as SciPy's PCHIP, whose import takes a second)."""
    x, y = np.asarray(curve).T
    gap, slope = np.diff(x), np.diff(y) / np.diff(x)
    left, right = 2.0 * gap[1:] + gap[:-1], gap[1:] + 2.0 * gap[:-1]
    turns = slope[:-1] * slope[1:] <= 0.0
    safe = np.where(slope == 0.0, 1.0, slope)
    tangent = np.concatenate(
        [slope[:1], np.where(turns, 0.0, (left + right) / (left / safe[:-1] + right / safe[1:])), slope[-1:]]
    )
    cell = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(gap) - 1)
    t, h = (at - x[cell]) / gap[cell], gap[cell]
    values: FloatArray = (
        y[cell] * (1.0 + 2.0 * t) * (1.0 - t) ** 2
        + h * tangent[cell] * t * (1.0 - t) ** 2
        + y[cell + 1] * t**2 * (3.0 - 2.0 * t)
        + h * tangent[cell + 1] * t**2 * (t - 1.0)
    )
    return values


@dataclass(frozen=True)
class Body:
    """A body of given size: its surface and places on it.

    Attributes:
        shape: Proportions.
        length_m: Length.
        width_m: Width without mirrors.
        height_m: Height.
        detail: 0 for near, 1 for the middle distance, 2 (`FAR`) for what is small in the picture.
    """

    shape: BodyShape
    length_m: float
    width_m: float
    height_m: float
    detail: int = 0

    def x_m(self, share: float) -> float:
        """Place along the vehicle of a share of the length from the front."""
        return self.length_m * (0.5 - share)

    @property
    def _lower(self) -> Curve:
        return _FAR_LOWER if self.detail == FAR else _LOWER

    @property
    def _up(self) -> tuple[float, ...]:
        return _FAR_UP if self.detail == FAR else _UP

    @property
    def _crown(self) -> tuple[float, ...]:
        return _FAR_CROWN if self.detail == FAR else _CROWN

    @cached_property
    def _shares(self) -> FloatArray:
        shape, arch = self.shape, 1.14 * self.shape.wheel_radius_m / self.length_m
        ends = _FAR_ENDS if self.detail == FAR else _ENDS
        marks = [*ends, *shape.cowl, *shape.rear_glass]
        marks += [end for window in shape.side_windows for end in window]
        for axle in shape.axles:
            marks += [axle + arch * turn for turn in np.cos(np.linspace(0.0, np.pi, (9, 5, 4)[self.detail]))]
        gaps = np.linspace(0.0, 1.0, (20, 9, 5)[self.detail])
        fine = np.concatenate([marks, [gap for gap in gaps if min(abs(gap - mark) for mark in marks) > 0.018]])  # noqa: PLR2004
        ordered = np.sort(fine[(fine >= 0.0) & (fine <= 1.0)])
        kept: FloatArray = ordered[np.concatenate(([True], np.diff(ordered) > 0.0015))]  # noqa: PLR2004 - no slivers
        return kept

    def _low(self, share: FloatArray) -> FloatArray:
        """Height of the lower edge: sill, raised ends, wheel arches."""
        shape = self.shape
        ends = np.interp(share, [0.0, 0.03, 0.12, 0.88, 0.97, 1.0], [0.05, 0.02, 0.0, 0.0, 0.03, 0.06])
        low = shape.floor_m + ends
        for axle in shape.axles:
            away = (share - axle) * self.length_m
            radius = 1.14 * shape.wheel_radius_m
            arch = shape.wheel_radius_m * 0.97 + np.sqrt(np.maximum(radius**2 - away**2, 0.0))
            low = np.where(np.abs(away) < radius, np.maximum(low, arch), low)
        return low

    @cached_property
    def _contours(self) -> tuple[FloatArray, FloatArray]:
        """Y and z of the left half of every section, float64[stations, levels], from the lower edge to the roof."""
        share = self._shares
        top = _smooth(self.shape.top, share) * self.height_m
        belt = np.minimum(_smooth(self.shape.belt, share) * self.height_m, top - 0.035)
        low = np.minimum(self._low(share), belt - 0.05)
        half = _smooth(self.shape.plan, share) * self.width_m / 2.0
        lower = np.asarray(self._lower)
        bulge = np.asarray(_LOWER)
        z_lower = low[:, None] + lower[:, 0] * (belt - low)[:, None]
        # The side keeps its bulge where an arch cuts it: width depends on height over the floor, not over the arch.
        rise = (z_lower - self.shape.floor_m) / (belt - self.shape.floor_m)[:, None]
        y_lower = half[:, None] * np.interp(rise, bulge[:, 0], bulge[:, 1])
        house = np.clip((top - belt) / (0.30 * self.height_m), 0.0, 1.0)[:, None]
        power = 2.4 + 3.2 * house
        up = np.asarray(self._up)[None, :]
        across = np.asarray(self._crown)[None, :]
        y_window = (1.0 - up**power) ** (1.0 / power) * (1.0 - self.shape.tumblehome * house * up)
        u_crown = (1.0 - across**power) ** (1.0 / power)
        y_crown = across * (1.0 - self.shape.tumblehome * house * np.minimum(u_crown, 1.0))
        # With little height over the belt (bonnet, boot) the order of the levels would break: spread them evenly.
        crown_start = np.maximum(u_crown, _WINDOW_HEAD + 0.02 * np.arange(len(self._crown))[None, :])
        z_upper = belt[:, None] + (top - belt)[:, None] * np.concatenate([np.repeat(up, len(share), 0), crown_start], 1)
        y_upper = y_lower[:, -1:] * np.concatenate([y_window, y_crown], axis=1)
        y_upper = np.minimum.accumulate(y_upper, axis=1)
        return np.concatenate([y_lower, y_upper], axis=1), np.concatenate([z_lower, z_upper], axis=1)

    def surface(self) -> Mesh:
        """The outer skin with windows, the dark inside of the arches and the underside."""
        share, (y, z) = self._shares, self._contours
        x = self.length_m * (0.5 - share)
        left = np.stack([np.repeat(x[:, None], y.shape[1], 1), y, z], axis=-1)
        right = left[:, ::-1] * np.array([1.0, -1.0, 1.0])
        skin = np.concatenate([left, right[:, 1:]], axis=1)
        kinds = self._kinds()
        parts = [grid_mesh(skin, (1.0, 1.0, 1.0), kinds)]
        inner = left[:, :1] * np.array([1.0, 0.55, 1.0])
        lip = np.concatenate([inner, left[:, :1]], axis=1)
        floor = np.concatenate([inner * np.array([1.0, -1.0, 1.0]), inner], axis=1)
        dark = (0.03, 0.03, 0.035)
        lips = (lip, lip[:, ::-1] * np.array([1.0, -1.0, 1.0])) if self.detail < FAR else ()
        sheets = (*lips, floor)
        parts += [grid_mesh(sheet, dark, Material.BLACK) for sheet in sheets]
        parts += [self._cap(skin[0], front=True), self._cap(skin[-1], front=False)]
        # Closes the view through one wheel arch and out of the other.
        height = 0.9 * self.shape.wheel_radius_m
        under = (0.9 * self.length_m, 0.6 * self.width_m, height)
        parts.append(box((0.0, 0.0, self.shape.floor_m + height / 2.0), under, dark, Material.BLACK))
        return merged(parts)

    def _kinds(self) -> NDArray[np.uint8]:
        shape, share = self.shape, self._shares
        middle = (share[:-1] + share[1:]) / 2.0
        lower, up = len(self._lower), len(self._up)
        levels = lower + up + len(self._crown)
        half = np.full((len(middle), levels - 1), Material.PAINT, dtype=np.uint8)
        first, last = lower + self._up.index(_WINDOW_FOOT), lower + self._up.index(_WINDOW_HEAD)
        for start, end in shape.side_windows:
            half[(middle > start) & (middle < end), first:last] = Material.GLASS
        for start, end in (shape.cowl, shape.rear_glass):
            half[(middle > start) & (middle < end), lower + up :] = Material.GLASS
        return np.concatenate([half, half[:, ::-1]], axis=1)

    def _cap(self, ring: FloatArray, *, front: bool) -> Mesh:
        """Close an end; the last section is small, so flat will do."""
        # The ring runs from the left sill over the roof to the right sill; its last side is the lower edge.
        ring = np.concatenate([ring, ring[:1]])
        centre = np.repeat(ring.mean(axis=0)[None], len(ring), axis=0)
        rows = np.stack([centre, ring]) if front else np.stack([ring, centre])
        return grid_mesh(rows, (1.0, 1.0, 1.0), Material.PAINT)

    def _half_width_at(self, z: FloatArray) -> FloatArray:
        """float64[stations, n]: half width of every section at heights; negative outside of it."""
        y, height = self._contours
        rows = [np.interp(z, height[row], y[row], left=-1.0, right=-1.0) for row in range(len(y))]
        return np.stack(rows)

    def end_x(self, y: FloatArray, z: FloatArray, *, front: bool) -> FloatArray:
        """Where lines parallel to the x axis first meet the body, from the front or from behind."""
        wide = self._half_width_at(z.ravel())
        x = self.length_m * (0.5 - self._shares)
        if not front:
            wide, x = wide[::-1], x[::-1]
        inside = wide >= np.abs(y.ravel())[None, :]
        first = np.argmax(inside, axis=0)
        before = np.maximum(first - 1, 0)
        column = np.arange(wide.shape[1])
        low, high = np.maximum(wide[before, column], 0.0), wide[first, column]
        part = np.clip((np.abs(y.ravel()) - low) / np.maximum(high - low, 1e-6), 0.0, 1.0)
        meets: FloatArray = (x[before] + part * (x[first] - x[before])).reshape(y.shape)
        return meets

    def side_y(self, share: FloatArray, z: FloatArray) -> FloatArray:
        """Half width at places along the body and heights."""
        y, height = self._contours
        at = np.searchsorted(self._shares, share.ravel()).clip(1, len(self._shares) - 1)
        found = np.empty(share.size)
        for index, (row, level, place) in enumerate(zip(at, z.ravel(), share.ravel(), strict=True)):
            before, after = (np.interp(level, height[one], y[one]) for one in (row - 1, row))
            part = (place - self._shares[row - 1]) / (self._shares[row] - self._shares[row - 1])
            found[index] = before + np.clip(part, 0.0, 1.0) * (after - before)
        return found.reshape(share.shape)

    def on_end(
        self,
        y_shares: tuple[float, float],
        z_shares: tuple[float, float],
        colour: ArrayLike,
        material: int,
        *,
        front: bool,
        lift_m: float = _DECAL_M,
        slant: float = 0.0,
    ) -> Mesh:
        """A patch on the front or rear: y shares of the half width (left positive), z shares of the height.

        `slant` raises its outer edge, a share of the height.
        """
        columns, rows = ((5, 4), (3, 2), (3, 2))[self.detail]
        across, up = np.linspace(y_shares[0], y_shares[1], columns), np.linspace(z_shares[0], z_shares[1], rows)
        y, z = np.meshgrid(across * self.width_m / 2.0, up * self.height_m)
        reach = np.linspace(0.0, 1.0, columns)[None, :] if abs(y_shares[1]) > abs(y_shares[0]) else 0.0
        z = z + slant * self.height_m * reach
        sign = 1.0 if front else -1.0
        points = np.stack([self.end_x(y, z, front=front) + sign * lift_m, y, z], axis=-1)
        ordered = points[:, ::-1] if (y_shares[1] > y_shares[0]) == front else points
        return grid_mesh(ordered, colour, material)

    def on_side(
        self,
        shares: tuple[float, float],
        z_m: tuple[float, float],
        colour: ArrayLike,
        material: int,
        lift_m: float = _DECAL_M,
    ) -> Mesh:
        """A patch on the left side between two shares of the length and two heights."""
        share, z = np.meshgrid(np.linspace(shares[0], shares[1], 4), np.linspace(z_m[0], z_m[1], 11))
        points = np.stack([self.length_m * (0.5 - share), self.side_y(share, z) + lift_m, z], axis=-1)
        return grid_mesh(points[:, ::-1], colour, material)

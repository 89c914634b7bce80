"""Worlds made from seeds: whole, repeatable, and drivable along smooth lines."""

import numpy as np
import pytest

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.road_network import RoadNetwork
from services.fleet_simulator.world.routes import SPACING_M, make_route, plan_steps, shortest_steps

POLICY = load_policies()["simulation"]["world"]
SEEDS = range(8)


def reached(network: RoadNetwork, start: int) -> set[int]:
    """Nodes that can be driven to, by a plain search."""
    seen, waiting = {start}, [start]
    while waiting:
        for edge_id, forward in network.leaving(waiting.pop()):
            edge = network.edges[edge_id]
            node = edge.end if forward else edge.start
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return seen


@pytest.mark.parametrize("seed", SEEDS)
def test_every_node_can_be_driven_to_from_every_depot(seed: int) -> None:
    network = generate_network(seed, POLICY)
    for depot in network.depots:
        assert reached(network, depot.node_id) == set(network.nodes)


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    digests = [generate_network(seed, POLICY).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_every_kind_of_road_and_control_is_there() -> None:
    network = generate_network(3, POLICY)
    assert {edge.road_class for edge in network.edges.values()} == set(POLICY["roads"])
    assert {node.control for node in network.nodes.values()} == {"none", "stop", "traffic_light", "crossing"}
    zones = [edge for edge in network.edges.values() if edge.work_zone]
    assert len(zones) == POLICY["work_zones"]["count"]
    assert all(0 < edge.work_zone.first_m < edge.work_zone.last_m < edge.length_m for edge in zones if edge.work_zone)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_route_is_one_smooth_line_from_the_depot_on(seed: int) -> None:
    network = generate_network(seed, POLICY)
    depot = network.depots[seed % 2]
    route = make_route(network, plan_steps(network, depot.node_id, seed, 3000.0))
    assert route.length_m > 2500
    steps = np.hypot(np.diff(route.east_m), np.diff(route.north_m))
    assert steps.max() <= SPACING_M + 1e-9
    assert np.median(steps) == pytest.approx(SPACING_M, rel=0.01)
    start = network.nodes[depot.node_id]
    assert np.hypot(route.east_m[0] - start.east_mm / 1e3, route.north_m[0] - start.north_mm / 1e3) < 5.0
    assert [stop.s_m for stop in route.stops] == sorted(stop.s_m for stop in route.stops)
    inside = np.array([network.edges[int(number)].length_m for number in route.edge_id])
    assert (route.edge_offset_m >= 0).all()
    assert (route.edge_offset_m <= inside + 1e-6).all()


def test_traffic_keeps_to_the_right_of_a_two_way_street() -> None:
    network = generate_network(1, POLICY)
    route = make_route(network, plan_steps(network, network.depots[0].node_id, 1, 2000.0))
    edge = next(network.edges[int(number)] for number in route.edge_id if not network.edges[int(number)].one_way)
    own = np.flatnonzero(route.edge_id == edge.edge_id)[10:-10]
    for index in own[:: max(1, len(own) // 5)].tolist():
        nearest = edge.points_m[np.argmin(np.hypot(*(edge.points_m - [route.east_m[index], route.north_m[index]]).T))]
        towards = nearest - [route.east_m[index], route.north_m[index]]
        left = np.array([-np.sin(route.yaw_rad[index]), np.cos(route.yaw_rad[index])])
        assert float(towards @ left) > 0


def test_the_quickest_way_is_no_slower_than_any_other_that_a_full_search_finds() -> None:
    network = generate_network(2, POLICY)
    start, goal = network.depots[0].node_id, network.depots[1].node_id

    def seconds(steps: tuple[tuple[int, bool], ...]) -> float:
        edges = [network.edges[edge_id] for edge_id, _ in steps]
        return sum(edge.length_m / (edge.speed_limit_kmh / 3.6) for edge in edges)

    # Bellman-Ford over all nodes is the oracle.
    cost = dict.fromkeys(network.nodes, float("inf"))
    cost[start] = 0.0
    for _ in network.nodes:
        for node in network.nodes:
            for edge_id, forward in network.leaving(node):
                edge = network.edges[edge_id]
                end = edge.end if forward else edge.start
                cost[end] = min(cost[end], cost[node] + edge.length_m / (edge.speed_limit_kmh / 3.6))
    assert seconds(shortest_steps(network, start, goal)) == pytest.approx(cost[goal])


@pytest.mark.parametrize("seed", SEEDS)
def test_no_bend_is_tighter_than_a_car_can_drive_and_none_begins_all_at_once(seed: int) -> None:
    network = generate_network(seed, POLICY)
    for depot in network.depots:
        route = make_route(network, plan_steps(network, depot.node_id, seed, 6000.0))
        # A car's rear axle turns within 5 m; people take corners at 7 m and more.
        assert np.abs(route.curvature_1pm).max() < 1.0 / 7.0
        assert np.abs(np.diff(route.curvature_1pm)).max() / SPACING_M < 0.08
        # The line goes where its direction points.
        ahead = np.unwrap(np.arctan2(np.diff(route.north_m), np.diff(route.east_m)))
        assert np.abs(ahead - (route.yaw_rad[:-1] + route.yaw_rad[1:]) / 2.0).max() < 0.12


@pytest.mark.parametrize("seed", SEEDS)
def test_stop_lines_lie_before_their_junction_and_one_after_the_other(seed: int) -> None:
    network = generate_network(seed, POLICY)
    route = make_route(network, plan_steps(network, network.depots[0].node_id, seed, 6000.0))
    for stop, following in zip(route.stops, route.stops[1:], strict=False):
        assert stop.s_m < stop.past_m < following.s_m
    for stop in route.stops:
        node, row = network.nodes[stop.node_id], int(stop.s_m / SPACING_M)
        away = np.array([node.east_mm / 1e3 - route.east_m[row], node.north_mm / 1e3 - route.north_m[row]])
        ahead = float(away @ [np.cos(route.yaw_rad[row]), np.sin(route.yaw_rad[row])])
        assert (3.0 if stop.control == "crossing" else 9.0) < ahead < 32.0
        assert route.edge_id[row] == stop.edge_id

"""The platform's three conditions, tick by tick: what each is for, and what it must not do."""

import pytest

from tests.sensors.toy_graph import A_NORTH, A_SOUTH, B_NORTH, Toy


@pytest.fixture
def toy() -> Toy:
    """Settled with content in one partition of every asset."""
    toy = Toy()
    assert toy.tick() == {}
    assert toy.run(A_NORTH, "up")
    toy.settle()
    return toy


# -- GATED -----------------------------------------------------------------------------------------------------------


def test_a_chain_of_gated_assets_is_requested_in_one_tick_and_settles() -> None:
    """A partition is one run, not one run per link."""
    toy = Toy()
    toy.tick()
    toy.run(A_NORTH, "up")
    first, *later = toy.settle()
    assert first == {A_NORTH: {"mid", "down"}}
    assert later == [{"2024-05-01": {"day"}}]


def test_the_same_content_again_requests_nothing(toy: Toy) -> None:
    assert toy.run(A_NORTH, "up")
    assert toy.settle() == []


def test_new_content_is_requested_once(toy: Toy) -> None:
    toy.content["up", A_NORTH] = "2"
    toy.run(A_NORTH, "up")
    assert toy.tick() == {A_NORTH: {"mid", "down"}}
    assert toy.tick() == {}


def test_what_stays_equal_downstream_ends_the_chain_of_changes(toy: Toy) -> None:
    """The asset was made again with the same content: the day above it has nothing new to see."""
    toy.content["up", A_NORTH] = "2"
    toy.run(A_NORTH, "up")
    assert toy.settle() == [{A_NORTH: {"mid", "down"}}]


def test_a_failed_gate_holds_back_what_follows_and_a_later_pass_releases_it(toy: Toy) -> None:
    toy.content["up", A_NORTH] = "2"
    toy.verdicts["up", A_NORTH] = False
    assert not toy.run(A_NORTH, "up")
    assert toy.settle() == []
    toy.verdicts["up", A_NORTH] = True
    assert toy.run(A_NORTH, "up")
    assert toy.settle()[0] == {A_NORTH: {"mid", "down"}}


def test_a_failed_gate_inside_the_chain_holds_the_rest_of_its_run(toy: Toy) -> None:
    toy.content |= {("up", A_NORTH): "2", ("mid", A_NORTH): "2", ("down", A_NORTH): "2"}
    toy.verdicts["mid", A_NORTH] = False
    toy.run(A_NORTH, "up")
    toy.made.clear()
    assert toy.settle() == [{A_NORTH: {"mid", "down"}}, {A_NORTH: {"alarm"}}]
    assert toy.made == [("mid", A_NORTH), ("alarm", A_NORTH)]


def test_what_a_failed_run_left_undone_is_not_asked_for_again_before_something_changes(toy: Toy) -> None:
    """Conditions are edges, and the one that asked for `down` is spent: the level-triggered sweep exists for this."""
    toy.content |= {("up", A_NORTH): "2", ("mid", A_NORTH): "2"}
    toy.verdicts["mid", A_NORTH] = False
    toy.run(A_NORTH, "up")
    toy.settle()
    toy.verdicts["mid", A_NORTH] = True
    toy.run(A_NORTH, "mid")
    assert toy.settle() == []
    toy.content["mid", A_NORTH] = "3"
    toy.run(A_NORTH, "mid")
    assert toy.tick() == {A_NORTH: {"down"}}


def test_a_gate_that_failed_before_is_asked_again_in_the_run_that_makes_its_asset_anew(toy: Toy) -> None:
    """Else a bad delivery would hold its partition for ever, also once a good one has come."""
    toy.verdicts["mid", A_NORTH] = False
    toy.run(A_NORTH, "mid")
    toy.settle()
    toy.verdicts["mid", A_NORTH] = True
    toy.content |= {("up", A_NORTH): "2", ("mid", A_NORTH): "2"}
    toy.run(A_NORTH, "up")
    toy.made.clear()
    assert toy.settle()[0] == {A_NORTH: {"mid", "down"}}
    assert toy.made[:2] == [("mid", A_NORTH), ("down", A_NORTH)]


def test_a_failed_gate_holds_its_own_partition_only(toy: Toy) -> None:
    toy.run(B_NORTH, "up")
    toy.settle()
    for partition in (A_NORTH, B_NORTH):
        toy.content["up", partition] = "2"
    toy.verdicts["up", A_NORTH] = False
    toy.run(A_NORTH, "up")
    toy.run(B_NORTH, "up")
    assert toy.settle()[0] == {B_NORTH: {"mid", "down"}}


def test_an_old_partition_is_as_good_as_a_new_one(toy: Toy) -> None:
    """No condition looks at the latest window: recordings can be years old."""
    toy.run(B_NORTH, "up")
    toy.settle()
    toy.content["up", A_NORTH] = "2"
    toy.run(A_NORTH, "up")
    assert toy.tick() == {A_NORTH: {"mid", "down"}}


# -- GATED_ROLLUP ----------------------------------------------------------------------------------------------------


def test_a_depot_without_data_does_not_hold_the_day(toy: Toy) -> None:
    toy.content["down", A_NORTH] = "2"
    toy.run(A_NORTH, "down")
    assert toy.settle() == [{"2024-05-01": {"day"}}]


def test_a_depot_with_a_failed_gate_holds_the_day_until_it_passes(toy: Toy) -> None:
    toy.verdicts["down", A_SOUTH] = False
    toy.run(A_SOUTH, "up")
    toy.settle()
    toy.content["down", A_NORTH] = "2"
    toy.run(A_NORTH, "down")
    assert toy.settle() == []
    toy.verdicts["down", A_SOUTH] = True
    toy.run(A_SOUTH, "down")
    assert toy.settle() == [{"2024-05-01": {"day"}}]


def test_another_day_is_not_held_by_a_failed_gate_of_this_one(toy: Toy) -> None:
    toy.verdicts["down", A_SOUTH] = False
    toy.run(A_SOUTH, "up")
    toy.settle()
    toy.run(B_NORTH, "up")
    assert toy.settle() == [{B_NORTH: {"mid", "down"}}, {"2024-05-02": {"day"}}]


def test_the_day_waits_for_the_run_of_its_depots_and_never_joins_it(toy: Toy) -> None:
    """Another partitions definition means another run, in which no blocking gate of the depots would hold it."""
    toy.content |= {("up", A_NORTH): "2", ("mid", A_NORTH): "2", ("down", A_NORTH): "2"}
    toy.run(A_NORTH, "up")
    assert toy.settle() == [{A_NORTH: {"mid", "down"}}, {"2024-05-01": {"day"}}]


def test_a_second_depot_restates_the_day(toy: Toy) -> None:
    toy.run(A_SOUTH, "up")
    assert toy.settle() == [{A_SOUTH: {"mid", "down"}}, {"2024-05-01": {"day"}}]


# -- ON_NEWLY_FAILED -------------------------------------------------------------------------------------------------


def test_a_gate_that_turns_to_failed_raises_the_alarm_once(toy: Toy) -> None:
    toy.verdicts["mid", A_NORTH] = False
    toy.run(A_NORTH, "mid")
    assert toy.tick() == {A_NORTH: {"alarm"}}
    toy.run(A_NORTH, "alarm")
    assert toy.tick() == {}
    toy.run(A_NORTH, "mid")
    assert toy.tick() == {}


def test_a_gate_that_recovered_and_fails_again_raises_it_again(toy: Toy) -> None:
    for verdict in (False, True, False):
        toy.verdicts["mid", A_NORTH] = verdict
        toy.run(A_NORTH, "mid")
        assert toy.tick().get(A_NORTH, set()) == (set() if verdict else {"alarm"})


def test_a_passing_gate_raises_no_alarm(toy: Toy) -> None:
    toy.content["mid", A_NORTH] = "2"
    toy.run(A_NORTH, "mid")
    assert "alarm" not in toy.tick().get(A_NORTH, set())

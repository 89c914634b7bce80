"""FLEET_HOME: made when absent, read when there, and refused with a remedy when it cannot be used."""

from pathlib import Path

import pytest

from fleet_assets.policy.documents import InvalidPolicyError
from resources.home import CONFIG_NAME, DEFAULT_DEPOT, DEFAULT_FIRST_DAY, HomeError, home_path, open_home


def test_a_new_home_has_one_depot_and_every_folder(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    assert (home.depots, home.first_day) == ((DEFAULT_DEPOT,), DEFAULT_FIRST_DAY)
    assert all(folder.is_dir() for folder in (home.landing, home.lake, home.objects, home.dbc_folder))
    assert (home.path / "dagster.yaml").is_file()
    assert open_home(tmp_path / "home") == home


def test_what_was_saved_is_what_is_opened(tmp_path: Path) -> None:
    home = open_home(tmp_path).with_depot("south", "2016-02-29").with_depot("north")
    home.save()
    assert open_home(tmp_path) == home
    assert home.depots == tuple(sorted((DEFAULT_DEPOT, "north", "south")))
    assert home.first_day == "2016-02-29"


def test_a_later_first_day_never_drops_partitions(tmp_path: Path) -> None:
    assert open_home(tmp_path).with_depot("south", "2024-01-01").first_day == DEFAULT_FIRST_DAY


def test_a_day_that_a_person_wrote_without_quotes_is_understood(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).write_text("schema: fleet.fleet_home/v1\nfirst_day: 2024-05-01\ndepots: [north]\n")
    assert open_home(tmp_path).first_day == "2024-05-01"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("first_day: 2024-05-01\ndepots: [north]\n", "schema"),
        ("schema: fleet.fleet_home/v1\nfirst_day: 2024-13-01\ndepots: [north]\n", "2024-13-01"),
        ("schema: fleet.fleet_home/v1\nfirst_day: 2024-05-01\ndepots: []\n", "depots"),
        ("schema: fleet.fleet_home/v1\nfirst_day: 2024-05-01\ndepots: [North]\n", "depots/0"),
        ("schema: fleet.fleet_home/v1\nfirst_day: 2024-05-01\ndepots: [a, a]\n", "depots"),
        ("schema: fleet.fleet_home/v1\nfirst_day: 2024-05-01\ndepots: ['a|b']\n", "depots/0"),
        ("schema: fleet.fleet_home/v1\nfirst_day: 2024-05-01\n", "depots"),
        ("depots: [north\n", "not valid YAML"),
    ],
)
def test_a_broken_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / CONFIG_NAME).write_text(text)
    with pytest.raises(InvalidPolicyError, match=message) as caught:
        open_home(tmp_path)
    assert CONFIG_NAME in str(caught.value)


@pytest.mark.parametrize("depot", ["North", "a/b", "a|b", "", "n\n", "-a"])
def test_a_depot_that_no_partition_could_be_named_after_is_refused(tmp_path: Path, depot: str) -> None:
    with pytest.raises(InvalidPolicyError, match="depots"):
        open_home(tmp_path).with_depot(depot).save()
    assert open_home(tmp_path).depots == (DEFAULT_DEPOT,)


def test_a_home_that_is_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match="Choose another FLEET_HOME"):
        open_home(tmp_path / "home")


def test_the_home_is_the_argument_then_the_environment_then_a_folder_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "set"))
    assert home_path(str(tmp_path / "given")) == tmp_path / "given"
    assert home_path() == tmp_path / "set"
    monkeypatch.setenv("FLEET_HOME", "")
    assert home_path() == tmp_path / ".fleet"

"""CAN databases are found beside spec and recording or in a package, and nowhere else."""

import hashlib
from pathlib import Path

import pytest

from fleet_assets.ingestion.recordings.dbc import DbcNotFoundError, dbc_folders, find_dbcs
from fleet_assets.policy.vehicles import DbcRef, Frames, VehicleSpec


def spec_with(ref: DbcRef) -> VehicleSpec:
    return VehicleSpec("car", "", "", {}, Frames("camera", {}), {ref.name: ref}, (), (), "")


def test_the_first_folder_that_has_the_file_wins(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "car.dbc").write_text(f'VERSION "{folder}"')
    ref = DbcRef("main", path="car.dbc")
    assert find_dbcs(spec_with(ref), [tmp_path / "a", tmp_path / "b"])["main"].text == 'VERSION "a"'
    found = find_dbcs(spec_with(ref), [tmp_path / "none", tmp_path / "b", tmp_path / "a"])["main"]
    assert found.text == 'VERSION "b"'
    assert found.sha256 == hashlib.sha256(b'VERSION "b"').hexdigest()
    assert found.origin == "car.dbc"


@pytest.mark.parametrize("path", ["../secret.dbc", "/etc/passwd", "x/../../secret.dbc", "..\\secret.dbc", "C:secret"])
def test_paths_that_lead_out_of_the_search_folders_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.dbc").write_text("secret")
    (tmp_path / "specs").mkdir()
    with pytest.raises(DbcNotFoundError):
        find_dbcs(spec_with(DbcRef("main", path=path)), [tmp_path / "specs"])


def test_links_that_lead_out_of_the_search_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.dbc").write_text("secret")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "car.dbc").symlink_to(tmp_path / "secret.dbc")
    with pytest.raises(DbcNotFoundError, match="no file 'car.dbc'"):
        find_dbcs(spec_with(DbcRef("main", path="car.dbc")), [tmp_path / "specs"])


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DbcNotFoundError) as caught:
        find_dbcs(spec_with(DbcRef("main", path="car.dbc")), [tmp_path])
    assert str(tmp_path) in str(caught.value)
    assert "Put the file in one of these folders" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "message"),
    [("toyota_adas.dbc", "TRACK_A_0"), ("toyota_new_mc_pt_generated.dbc", "WHEEL_SPEEDS")],
    ids=["shipped", "generated"],
)
def test_files_of_the_package_are_found_whether_shipped_or_generated(file: str, message: str) -> None:
    found = find_dbcs(spec_with(DbcRef("main", package="opendbc", file=file)), [])["main"]
    assert f" {message}:" in found.text
    assert found.sha256 == hashlib.sha256(found.text.encode()).hexdigest()


def test_a_file_that_the_package_does_not_have_is_named() -> None:
    with pytest.raises(DbcNotFoundError, match="package opendbc has no file 'trabant.dbc'"):
        find_dbcs(spec_with(DbcRef("main", package="opendbc", file="trabant.dbc")), [])


def test_an_unknown_package_is_refused() -> None:
    with pytest.raises(DbcNotFoundError, match="package 'os' is not known"):
        find_dbcs(spec_with(DbcRef("main", package="os", file="x.dbc")), [])


def test_databases_in_the_windows_code_page_are_read(tmp_path: Path) -> None:
    (tmp_path / "car.dbc").write_bytes('VERSION ""\r\nBU_: Tür\r\n'.encode("cp1252"))
    assert "Tür\n" in find_dbcs(spec_with(DbcRef("main", path="car.dbc")), [tmp_path])["main"].text


def test_databases_are_looked_for_in_dbc_folders_near_the_recording(tmp_path: Path) -> None:
    recording = tmp_path / "fleet" / "sample" / "trip"
    recording.mkdir(parents=True)
    (tmp_path / "fleet" / "dbc").mkdir()
    (recording / "log.mf4").touch()
    expected = (recording, tmp_path / "fleet" / "dbc")
    assert dbc_folders(recording) == expected
    assert dbc_folders(recording / "log.mf4") == expected

"""The local key is made once, stays private, and a key that others could have seen is not used."""

import logging
import multiprocessing
import os
import pickle
import stat
import traceback
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import dagster as dg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from fleet_assets.provenance.signing import PAYLOAD_TYPE, SignatureRejectedError, Verifier
from resources.signer import PRIVATE_NAME, PUBLIC_NAME, LocalSigner, UnusableKeyError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys"


def local(folder: Path) -> LocalSigner:
    return LocalSigner(key_dir=str(folder))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def put_private(folder: Path, content: bytes) -> Path:
    private = folder / PRIVATE_NAME
    private.write_bytes(content)
    private.chmod(0o600)
    return private


def verifies(verifier: Verifier, signing: LocalSigner) -> bool:
    return verifier.verify(signing.signer().sign(PAYLOAD_TYPE, b"x")) == b"x"


def test_the_first_use_makes_a_key_that_later_uses_share(folder: Path) -> None:
    first = local(folder).signer()
    assert local(folder).signer().key_id == first.key_id
    assert verifies(local(folder).verifier(), local(folder))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_key_is_for_its_owner_only_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        local(folder).signer()
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert mode(folder / PRIVATE_NAME) == 0o600
    assert mode(folder / PUBLIC_NAME) == 0o644
    assert {path.name for path in folder.iterdir()} == {PRIVATE_NAME, PUBLIC_NAME, ".lock"}


def test_the_files_are_standard_pem(folder: Path) -> None:
    local(folder).signer()
    private = serialization.load_pem_private_key((folder / PRIVATE_NAME).read_bytes(), password=None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    assert (folder / PRIVATE_NAME).read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert serialization.load_pem_public_key((folder / PUBLIC_NAME).read_bytes()) == private.public_key()


def test_another_folder_holds_another_key(folder: Path, tmp_path: Path) -> None:
    local(folder).signer()
    with pytest.raises(SignatureRejectedError, match="none of which is trusted"):
        verifies(local(folder).verifier(), local(tmp_path / "other"))


def _race(folder: Path, start: Barrier, results: "multiprocessing.Queue[str]") -> None:
    start.wait()
    results.put(local(folder).signer().key_id)


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        start, results = context.Barrier(6), context.Queue()
        racers = [
            context.Process(target=_race, args=(tmp_path / str(attempt), start, results)) for _ in range(start.parties)
        ]
        for racer in racers:
            racer.start()
        key_ids = {results.get(timeout=60) for _ in racers}
        for racer in racers:
            racer.join()
        assert key_ids == {local(tmp_path / str(attempt)).signer().key_id}


def test_a_kill_between_the_two_files_is_healed_from_the_private_one(folder: Path) -> None:
    key_id = local(folder).signer().key_id
    public = (folder / PUBLIC_NAME).read_bytes()
    (folder / PUBLIC_NAME).unlink()
    assert local(folder).signer().key_id == key_id
    assert (folder / PUBLIC_NAME).read_bytes() == public


def test_a_kill_while_writing_leaves_no_half_written_key(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    half = folder / f".{PRIVATE_NAME}.unfinished"
    half.write_bytes(b"-----BEGIN PRIVATE")
    half.chmod(0o644)
    local(folder).signer()
    assert mode(folder / PRIVATE_NAME) == 0o600
    assert not half.exists()


def test_a_lost_private_key_is_not_silently_replaced(folder: Path) -> None:
    local(folder).signer()
    public = (folder / PUBLIC_NAME).read_bytes()
    (folder / PRIVATE_NAME).unlink()
    with pytest.raises(UnusableKeyError, match=f"is missing beside {PUBLIC_NAME}. Restore it, or move"):
        local(folder).signer()
    assert (folder / PUBLIC_NAME).read_bytes() == public
    assert not (folder / PRIVATE_NAME).exists()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_private_key_that_others_could_reach_is_refused(folder: Path, bits: int) -> None:
    local(folder).signer()
    (folder / PRIVATE_NAME).chmod(bits)
    with pytest.raises(UnusableKeyError, match=f"mode is {bits:04o}.*expected 0600. Run `chmod 0600 .*{PRIVATE_NAME}`"):
        local(folder).signer()
    (folder / PRIVATE_NAME).chmod(0o600)
    local(folder).signer()


@pytest.mark.parametrize("bits", [0o750, 0o701, 0o777])
def test_a_folder_that_others_could_enter_is_refused(folder: Path, bits: int) -> None:
    folder.mkdir(parents=True)
    folder.chmod(bits)
    with pytest.raises(UnusableKeyError, match=f"mode is {bits:04o}.*expected 0700. Run `chmod 0700"):
        local(folder).signer()
    assert list(folder.iterdir()) == []


def test_a_private_key_that_only_its_owner_reads_is_accepted(folder: Path) -> None:
    local(folder).signer()
    (folder / PRIVATE_NAME).chmod(0o400)
    assert verifies(local(folder).verifier(), local(folder))


def test_verifying_needs_no_private_key(folder: Path) -> None:
    envelope = local(folder).signer().sign(PAYLOAD_TYPE, b"x")
    (folder / PRIVATE_NAME).unlink()
    assert local(folder).verifier().verify(envelope) == b"x"


def test_verifying_before_anything_was_signed_says_what_to_do(folder: Path) -> None:
    with pytest.raises(UnusableKeyError, match=r"No such file or directory\). Sign something first"):
        local(folder).verifier()
    assert not folder.exists()


def test_a_public_key_of_another_pair_is_refused(folder: Path, tmp_path: Path) -> None:
    local(folder).signer()
    local(tmp_path / "other").signer()
    (folder / PUBLIC_NAME).write_bytes((tmp_path / "other" / PUBLIC_NAME).read_bytes())
    with pytest.raises(UnusableKeyError, match=f"{PUBLIC_NAME}: does not belong to {PRIVATE_NAME}"):
        local(folder).signer()


def test_a_public_key_that_is_none_is_refused(folder: Path) -> None:
    local(folder).signer()
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    other_type = elliptic.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for content, expected in ((b"", r"public key \(PEM\)"), (b"\xff", r"public key \(PEM\)"), (other_type, "Ed25519")):
        (folder / PUBLIC_NAME).write_bytes(content)
        with pytest.raises(UnusableKeyError, match=f"{PUBLIC_NAME}: holds no .*{expected}.*Restore"):
            local(folder).verifier()


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "spoil",
    [
        _truncated,
        lambda _: b"",
        lambda _: pem(ec.generate_private_key(ec.SECP256R1())),
        lambda _: pem(ed25519.Ed25519PrivateKey.generate(), b"password"),
    ],
    ids=["truncated", "empty", "other type", "encrypted"],
)
def test_a_private_key_that_is_none_is_refused_without_showing_it(
    folder: Path, spoil: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    local(folder).signer()
    content = spoil((folder / PRIVATE_NAME).read_bytes())
    put_private(folder, content)
    with pytest.raises(
        UnusableKeyError, match=f"{PRIVATE_NAME}: holds no private key.*Restore it from a backup"
    ) as caught:
        local(folder).signer()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    body = [line for line in content.decode().splitlines() if line and not line.startswith("-----")]
    assert not any(line in shown for line in body)


def test_no_text_form_of_the_signer_holds_the_key(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    resource = local(folder)
    signer = resource.signer()
    envelope = signer.sign(PAYLOAD_TYPE, b"x")
    body = (folder / PRIVATE_NAME).read_text().splitlines()[1]
    shown = [repr(resource), str(resource), repr(signer), str(signer), str(envelope.to_dict()), caplog.text]
    assert not any(body in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(signer)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableKeyError, match=r"Not a directory\). Set key_dir to a folder that can be written"):
        local(tmp_path / "file" / "keys").signer()
    with pytest.raises(UnusableKeyError, match=r"File exists\). Set key_dir"):
        local(tmp_path / "file").signer()


def test_a_file_system_that_takes_no_files_is_a_clear_error() -> None:
    with pytest.raises(UnusableKeyError, match=r"cannot be used for a key pair \(.+\). Set key_dir"):
        local(Path("/proc/fleet-keys")).signer()


def test_a_private_key_that_cannot_be_read_is_a_clear_error(folder: Path) -> None:
    local(folder).signer()
    (folder / PRIVATE_NAME).unlink()
    (folder / PRIVATE_NAME).mkdir(mode=0o700)
    with pytest.raises(UnusableKeyError, match=r"cannot be read \(Is a directory\). Run as the user who made it"):
        local(folder).signer()


def test_an_asset_signs_through_the_resource(folder: Path) -> None:
    @dg.asset
    def attested(signing: LocalSigner) -> dg.MaterializeResult[None]:
        envelope = signing.signer().sign(PAYLOAD_TYPE, b"{}")
        signing.verifier().verify(envelope)
        return dg.MaterializeResult(metadata={"key_id": signing.signer().key_id})

    result = dg.materialize([attested], resources={"signing": local(folder)})
    assert result.success
    (event,) = result.asset_materializations_for_node("attested")
    assert event.metadata["key_id"].value == local(folder).signer().key_id

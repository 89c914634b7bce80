"""A fleet's own trigger policy runs only when somebody signed it; nothing passes in the place of what was signed."""

from pathlib import Path

import pytest

from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.policy.trigger_bundles import BUNDLE_FILE, open_bundle, require_signed, seal
from fleet_assets.provenance.signing import SignatureRejectedError
from resources.signer import LocalSigner

SHIPPED = Path(__file__).resolve().parents[2] / "policies" / "triggers.yaml"


@pytest.fixture
def keys(tmp_path: Path) -> LocalSigner:
    return LocalSigner(key_dir=str(tmp_path / "keys"))


def own(tmp_path: Path, most: str = "-3 m/s^2") -> Policies:
    """Policies of a fleet that has a trigger policy of its own."""
    folder = tmp_path / "policies"
    folder.mkdir(exist_ok=True)
    text = SHIPPED.read_text().replace("{threshold: -3 m/s^2, release", f"{{threshold: {most}, release", 1)
    (folder / "triggers.yaml").write_text(text)
    return load_policies(folder)


def test_the_shipped_policy_needs_no_signature_and_an_own_one_does(tmp_path: Path, keys: LocalSigner) -> None:
    require_signed(load_policies(), None)
    policies = own(tmp_path)
    with pytest.raises(SignatureRejectedError, match="is not signed. Look at the policy's difference, then run"):
        require_signed(policies, None)
    bundle = tmp_path / "policies" / BUNDLE_FILE
    bundle.write_bytes(seal(policies, keys.signer()))
    require_signed(policies, keys.verifier())
    assert open_bundle(bundle.read_bytes(), keys.verifier()) == policies["triggers"]


def test_a_policy_that_changed_after_it_was_signed_is_refused(tmp_path: Path, keys: LocalSigner) -> None:
    bundle = seal(own(tmp_path), keys.signer())
    (tmp_path / "policies" / BUNDLE_FILE).write_bytes(bundle)
    with pytest.raises(SignatureRejectedError, match="signs the policy .* in force is"):
        require_signed(own(tmp_path, "-9 m/s^2"), keys.verifier())


def test_a_key_that_nobody_trusts_signs_nothing(tmp_path: Path, keys: LocalSigner) -> None:
    stranger = LocalSigner(key_dir=str(tmp_path / "other"))
    policies = own(tmp_path)
    (tmp_path / "policies" / BUNDLE_FILE).write_bytes(seal(policies, stranger.signer()))
    keys.signer()
    with pytest.raises(SignatureRejectedError):
        require_signed(policies, keys.verifier())


def test_a_bundle_of_which_one_byte_differs_is_refused(tmp_path: Path, keys: LocalSigner) -> None:
    bundle = bytearray(seal(own(tmp_path), keys.signer()))
    place = len(bundle) // 2
    bundle[place] = ord("A") if bundle[place] != ord("A") else ord("B")
    with pytest.raises(SignatureRejectedError):
        open_bundle(bytes(bundle), keys.verifier())

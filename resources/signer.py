"""Resource for signing and verifying statements with an Ed25519 key in a local folder.

Here belong the key files and their safety. Envelopes and statements are in `fleet_assets.provenance.signing`; a cloud
key service would be another class that offers the same `signer()` and `verifier()`.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
from pydantic import Field

from fleet_assets.provenance.signing import EnvelopeSigner, EnvelopeVerifier, Signer, Verifier

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined] # imported there for users

PRIVATE_NAME: Final = "signing_key.pem"
PUBLIC_NAME: Final = "signing_key.pub.pem"

_FOLDER_MODE: Final = 0o700
_PRIVATE_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644
_OTHERS: Final = 0o077


class UnusableKeyError(Exception):
    """A key file or folder that must not or cannot be used. Never holds any part of a key.

    Args:
        path: The file or folder.
        rule: The rule that it breaks, as a clause.
        remedy: What a person does next, as a sentence.
    """

    def __init__(self, path: Path, rule: str, remedy: str) -> None:
        super().__init__(str(path), rule, remedy)
        self.path, self.rule, self.remedy = path, rule, remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}. {self.remedy}"


class LocalSigner(dg.ConfigurableResource[None]):
    """Signs with an Ed25519 key that is made on first use and stays in one folder.

    The private key (PEM, PKCS #8, mode 0600) and the public key (PEM, SubjectPublicKeyInfo) lie side by side in a
    folder of mode 0700. Processes that start at once get the same key; one that is killed leaves no half-written key.
    """

    key_dir: str = Field(description="Folder of the key pair; made on first use.")

    def signer(self) -> Signer:
        """The signer of this folder's key, which is made if there is none.

        Raises:
            UnusableKeyError: When others may read the key or its folder, a file is damaged or of another key type, the
                two files do not belong together, or the folder cannot be written.
        """
        from securesystemslib.exceptions import KeyMismatchError
        from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined] # imported there for users

        folder = Path(self.key_dir)
        _ensure_key_pair(folder)
        private, public = _load_private(folder / PRIVATE_NAME), _load_public(folder / PUBLIC_NAME)
        try:
            return EnvelopeSigner(CryptoSigner(private, public))
        except KeyMismatchError as error:
            raise UnusableKeyError(
                folder / PUBLIC_NAME,
                f"does not belong to {PRIVATE_NAME}",
                "Move it away (it may verify older signatures); it is then derived from the private key.",
            ) from error

    def verifier(self) -> Verifier:
        """The verifier that trusts this folder's public key; needs no private key.

        Raises:
            UnusableKeyError: When there is no public key yet, or it is damaged or of another key type.
        """
        return EnvelopeVerifier([_load_public(Path(self.key_dir) / PUBLIC_NAME)])


def _ensure_key_pair(folder: Path) -> None:
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        _refuse_open_to_others(folder, folder.stat().st_mode, "0700")
        private, public = folder / PRIVATE_NAME, folder / PUBLIC_NAME
        if private.exists() and public.exists():
            return
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not private.exists():
                _make_private(private, public)
            if not public.exists():
                _write_whole(public, _public_pem(_load_private(private)), _PUBLIC_MODE)
    except OSError as error:
        raise UnusableKeyError(
            folder, f"cannot be used for a key pair ({error.strerror})", "Set key_dir to a folder that can be written."
        ) from error


def _make_private(private: Path, public: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    # The private file is always written first; so a public key alone means that the private one was lost.
    if public.exists():
        raise UnusableKeyError(
            private,
            f"is missing beside {PUBLIC_NAME}",
            f"Restore it, or move {PUBLIC_NAME} away (keep it: it verifies older signatures) to start with a new key.",
        )
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_whole(private, pem, _PRIVATE_MODE)


def _public_pem(private: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that it is either absent or whole, whatever happens; the caller holds the lock."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load_private(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with path.open("rb") as file:
            _refuse_open_to_others(path, os.fstat(file.fileno()).st_mode, "0600")
            key = load_pem_private_key(file.read(), password=None)
    except OSError as error:
        raise UnusableKeyError(
            path,
            f"cannot be read ({error.strerror})",
            "Run as the user who made it, or set key_dir to a folder of yours.",
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _damaged(path, "private key (PEM, PKCS #8, not encrypted)") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path, "private key of type Ed25519")
    return key


def _load_public(path: Path) -> SSlibKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined] # imported there for users

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise UnusableKeyError(
            path,
            f"cannot be read ({error.strerror})",
            "Sign something first, which makes the key pair, or copy the signer's public key there.",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _damaged(path, "public key (PEM)") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _damaged(path, "public key of type Ed25519")
    return SSlibKey.from_crypto(key)


def _refuse_open_to_others(path: Path, mode: int, wanted: str) -> None:
    found = stat.S_IMODE(mode)
    if found & _OTHERS:
        raise UnusableKeyError(
            path,
            f"mode is {found:04o}, so that other users may get at the key, expected {wanted}",
            f"Run `chmod {wanted} {path}`; if others have had access, move the key away and start with a new one.",
        )


def _damaged(path: Path, expected: str) -> UnusableKeyError:
    return UnusableKeyError(
        path,
        f"holds no {expected}",
        "Restore it from a backup, or move both key files away to start with a new key.",
    )

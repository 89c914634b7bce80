"""Signed trigger policies: what a vehicle or a platform runs that did not come with the software.

Here belong sealing and opening a bundle, and the rule that a fleet's own policy has to be signed. Keys belong to
resources.
"""

from collections.abc import Mapping
from typing import Any, Final

from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import InvalidPolicyError, Policies, digest_of, load_schema, validate
from fleet_assets.policy.triggers import compile_triggers
from fleet_assets.provenance.signing import (
    PAYLOAD_TYPE,
    SignatureRejectedError,
    Signer,
    Statement,
    Verifier,
    envelope_json,
    parse_envelope,
)

DOCUMENT: Final = "triggers"
BUNDLE_FILE: Final = "triggers.dsse.json"
PREDICATE_TYPE: Final = "https://fleet-assets.dev/trigger-policy/v1"
_REMEDY: Final = "Look at the policy's difference, then run `fleet triggers sign`."


def seal(policies: Policies, signer: Signer) -> bytes:
    """The trigger policy in force as a signed bundle, once it was seen to compile.

    Args:
        policies: Policies in force.
        signer: Holder of the key.

    Raises:
        InvalidPolicyError: When the policy does not compile.
    """
    document = policies[DOCUMENT]
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    compile_triggers(document, policies.digest(DOCUMENT), canonical)
    predicate = {"version": document["version"], "document": document}
    statement = Statement({DOCUMENT: policies.digest(DOCUMENT)}, PREDICATE_TYPE, predicate)
    return envelope_json(signer.sign(PAYLOAD_TYPE, statement.to_payload()))


def open_bundle(text: bytes, verifier: Verifier) -> Mapping[str, Any]:
    """The trigger policy of a bundle that a trusted key signed.

    Args:
        text: The bundle.
        verifier: Knows the trusted keys.

    Raises:
        SignatureRejectedError: When the signature, the statement or its digest does not hold.
        InvalidPolicyError: When the policy breaks its schema.
    """
    statement = Statement.from_payload(verifier.verify(parse_envelope(text)))
    if statement.predicate_type != PREDICATE_TYPE:
        raise SignatureRejectedError(f"the bundle states {statement.predicate_type}, no trigger policy", _REMEDY)
    document = statement.predicate.get("document")
    if not isinstance(document, dict) or statement.subjects != {DOCUMENT: digest_of(document)}:
        raise SignatureRejectedError("the bundle's policy is not the one that its digest names", _REMEDY)
    validate(document, load_schema(DOCUMENT), BUNDLE_FILE)
    return document


def require_signed(policies: Policies, verifier: Verifier | None) -> None:
    """Refuse a fleet's own trigger policy that nobody signed; the shipped one is vouched for by the software.

    Args:
        policies: Policies in force.
        verifier: Knows the trusted keys; None where there is none yet.

    Raises:
        SignatureRejectedError: When the bundle beside the policy is missing, not trusted, or of another policy.
    """
    own = [folder for folder in policies.folders[1:] if (folder / f"{DOCUMENT}.yaml").is_file()]
    if not own:
        return
    bundle = own[-1] / BUNDLE_FILE
    if verifier is None or not bundle.is_file():
        raise SignatureRejectedError(f"the trigger policy {own[-1] / DOCUMENT}.yaml is not signed", _REMEDY)
    try:
        signed = digest_of(open_bundle(bundle.read_bytes(), verifier))
    except InvalidPolicyError as error:
        raise SignatureRejectedError(f"{bundle.name}: {error}", _REMEDY) from error
    if signed != policies.digest(DOCUMENT):
        raise SignatureRejectedError(
            f"{bundle.name} signs the policy {signed[:12]}, in force is {policies.digest(DOCUMENT)[:12]}", _REMEDY
        )

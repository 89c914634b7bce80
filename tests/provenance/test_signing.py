"""Envelopes keep to DSSE, statements to in-toto and SLSA, and nothing that was changed gets through."""

import base64
import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined] # imported there for users

from fleet_assets.provenance.signing import (
    PAYLOAD_TYPE,
    EnvelopeSigner,
    EnvelopeVerifier,
    SignatureRejectedError,
    Statement,
    envelope_json,
    parse_envelope,
    slsa_provenance,
)

KEY, OTHER_KEY = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
SIGNER = EnvelopeSigner(KEY)
VERIFIER = EnvelopeVerifier([KEY.public_key])
SHA_A, SHA_B, SHA_C = "a" * 64, "b" * 64, "c" * 64
BUILD = {
    "builder_id": "https://example.org/fleet/builder/v1",
    "build_type": "https://example.org/fleet/silver-signals/v1",
    "inputs": {"bronze.drives/2024-05-01": SHA_B, "dbc": SHA_C},
    "outputs": {"silver.signals/2024-05-01": SHA_A},
    "parameters": {"grid_ms": 100},
}


def signed(payload: bytes = b'{"x":1}', payload_type: str = PAYLOAD_TYPE) -> dict[str, Any]:
    document = json.loads(envelope_json(SIGNER.sign(payload_type, payload)))
    assert isinstance(document, dict)
    return document


def reject(document: object, message: str) -> SignatureRejectedError:
    text = document if isinstance(document, bytes | str) else json.dumps(document)
    with pytest.raises(SignatureRejectedError, match=message) as caught:
        VERIFIER.verify(parse_envelope(text))
    assert caught.value.remedy
    assert caught.value.remedy in str(caught.value)
    return caught.value


def test_the_signed_bytes_are_those_of_the_published_vector() -> None:
    # DSSE protocol 1.0.0, section "Test Vectors"
    envelope = SIGNER.sign("http://example.com/HelloWorld", b"hello world")
    assert envelope.pae() == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    raw_key = KEY.public_key.to_dict()["keyval"]["public"]
    signature = bytes.fromhex(envelope.signatures[SIGNER.key_id].signature)
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(raw_key)).verify(
        signature, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_the_published_envelope_of_another_implementation_verifies() -> None:
    # DSSE protocol 1.0.0, section "Test Vectors": ECDSA over P-256, signature as raw r and s
    raw = base64.b64decode("A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==")
    numbers = ec.EllipticCurvePublicNumbers(
        46950820868899156662930047687818585632848591499744589407958293238635476079160,
        5640078356564379163099075877009565129882514886557779369047442380624545832820,
        ec.SECP256R1(),
    )
    key = SSlibKey.from_crypto(numbers.public_key(), keyid="published")
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    document = {
        "payload": "aGVsbG8gd29ybGQ=",
        "payloadType": "http://example.com/HelloWorld",
        "signatures": [{"keyid": "published", "sig": base64.b64encode(der).decode()}],
    }
    verifier = EnvelopeVerifier([key], payload_types=["http://example.com/HelloWorld"])
    assert verifier.verify(parse_envelope(json.dumps(document))) == b"hello world"


@given(st.binary(max_size=200))
def test_what_was_signed_comes_back_through_json(payload: bytes) -> None:
    text = envelope_json(SIGNER.sign(PAYLOAD_TYPE, payload))
    assert VERIFIER.verify(parse_envelope(text)) == payload
    assert envelope_json(parse_envelope(text)) == text


def test_url_safe_base64_is_read_as_the_specification_demands() -> None:
    document = signed(bytes(range(256)))
    assert "/" in document["payload"]
    document["payload"] = document["payload"].replace("+", "-").replace("/", "_")
    assert VERIFIER.verify(parse_envelope(json.dumps(document))) == bytes(range(256))


def test_equal_payloads_give_equal_envelopes() -> None:
    assert envelope_json(SIGNER.sign(PAYLOAD_TYPE, b"x")) == envelope_json(SIGNER.sign(PAYLOAD_TYPE, b"x"))


def test_a_key_that_is_not_trusted_is_named() -> None:
    text = envelope_json(EnvelopeSigner(OTHER_KEY).sign(PAYLOAD_TYPE, b"x"))
    error = reject(text, "none of which is trusted")
    assert OTHER_KEY.public_key.keyid in error.reason
    assert SIGNER.key_id in error.reason


def test_a_foreign_signature_under_a_trusted_name_is_rejected() -> None:
    document = json.loads(envelope_json(EnvelopeSigner(OTHER_KEY).sign(PAYLOAD_TYPE, b"x")))
    document["signatures"][0]["keyid"] = SIGNER.key_id
    reject(document, "does not belong to this payload")


def test_a_trusted_signature_counts_beside_an_unknown_one() -> None:
    envelope = SIGNER.sign(PAYLOAD_TYPE, b"x")
    envelope.sign(OTHER_KEY)
    assert VERIFIER.verify(envelope) == b"x"
    assert EnvelopeVerifier([OTHER_KEY.public_key, KEY.public_key]).verify(SIGNER.sign(PAYLOAD_TYPE, b"x")) == b"x"


@given(st.integers(0, 6), st.integers(1, 255))
def test_any_changed_byte_of_the_payload_is_rejected(position: int, change: int) -> None:
    document = signed()
    payload = bytearray(base64.b64decode(document["payload"]))
    payload[position] ^= change
    document["payload"] = base64.b64encode(payload).decode()
    reject(document, "changed after signing")


@given(st.integers(0, 63), st.integers(1, 255))
def test_any_changed_byte_of_the_signature_is_rejected(position: int, change: int) -> None:
    document = signed()
    signature = bytearray(base64.b64decode(document["signatures"][0]["sig"]))
    signature[position] ^= change
    document["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    reject(document, "changed after signing")


@pytest.mark.parametrize("signature", ["", "AAAA", base64.b64encode(bytes(65)).decode()])
def test_a_signature_of_the_wrong_length_is_rejected(signature: str) -> None:
    document = signed()
    document["signatures"][0]["sig"] = signature
    reject(document, "changed after signing")


def test_a_payload_type_that_was_not_asked_for_is_rejected() -> None:
    reject(signed(payload_type="application/json"), "payload type 'application/json' is none of")


def test_a_payload_cannot_be_passed_off_as_another_type() -> None:
    document = signed(payload_type="application/json")
    document["payloadType"] = PAYLOAD_TYPE
    reject(document, "changed after signing")


def test_an_unsigned_envelope_is_rejected() -> None:
    document = signed()
    document["signatures"] = []
    reject(document, "no signature")


def test_two_signatures_of_one_key_are_rejected_even_when_both_are_valid() -> None:
    document = signed()
    document["signatures"] *= 2
    reject(document, "two signatures by the key")


@given(st.data())
def test_a_truncated_envelope_is_rejected(data: st.DataObject) -> None:
    text = envelope_json(SIGNER.sign(PAYLOAD_TYPE, b"{}"))
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(SignatureRejectedError, match="malformed envelope: no valid JSON"):
        parse_envelope(text[:cut])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("payload",), None, "payload is missing or no text"),
        (("payload",), "e30", "bad base64"),
        (("payload",), "ä", "bad base64"),
        (("payload",), "\ud800", "bad base64"),
        (("payloadType",), 7, "payloadType is missing or no text"),
        (("signatures",), {}, "signatures is no list"),
        (("signatures",), None, "signatures is no list"),
        (("signatures", 0), "x", "malformed signature: no JSON object"),
        (("signatures", 0, "keyid"), None, "keyid is missing or no text"),
        (("signatures", 0, "sig"), 1, "sig is missing or no text"),
        (("signatures", 0, "sig"), "*", "bad base64"),
    ],
)
def test_a_malformed_envelope_is_rejected(path: tuple[Any, ...], value: object, message: str) -> None:
    document = copy.deepcopy(signed())
    target: Any = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    reject(document, message)


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "{}"])
def test_json_that_is_no_envelope_is_rejected(text: str) -> None:
    reject(text, "malformed envelope")


def test_json_that_two_readers_read_differently_is_rejected() -> None:
    text = envelope_json(SIGNER.sign(PAYLOAD_TYPE, b"x")).decode()
    reject('{"payload":"eQ==",' + text[1:], "a key appears twice")


def test_json_nested_to_exhaust_the_reader_is_rejected() -> None:
    reject("[" * 200_000, "malformed envelope")


def test_a_verifier_without_keys_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one public key"):
        EnvelopeVerifier([])


def test_provenance_says_who_made_what_from_what() -> None:
    statement = slsa_provenance(**BUILD)  # type: ignore[arg-type]
    assert json.loads(statement.to_payload()) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "silver.signals/2024-05-01", "digest": {"sha256": SHA_A}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://example.org/fleet/silver-signals/v1",
                "externalParameters": {"grid_ms": 100},
                "resolvedDependencies": [
                    {"name": "bronze.drives/2024-05-01", "digest": {"sha256": SHA_B}},
                    {"name": "dbc", "digest": {"sha256": SHA_C}},
                ],
            },
            "runDetails": {"builder": {"id": "https://example.org/fleet/builder/v1"}},
        },
    }


def test_provenance_holds_run_and_times_only_when_given_and_in_utc() -> None:
    began = datetime(2024, 5, 1, 8, 30, tzinfo=timezone(timedelta(hours=2)))
    ended = datetime(2024, 5, 1, 6, 31, 0, 250_000, tzinfo=UTC)
    statement = slsa_provenance(**BUILD, invocation_id="run-1", started_on=began, finished_on=ended)  # type: ignore[arg-type]
    assert statement.predicate["runDetails"]["metadata"] == {
        "invocationId": "run-1",
        "startedOn": "2024-05-01T06:30:00Z",
        "finishedOn": "2024-05-01T06:31:00.250000Z",
    }


def test_the_reference_types_of_in_toto_read_the_statement() -> None:
    json_format = pytest.importorskip("google.protobuf.json_format", reason="needs the package in-toto-attestation")
    pytest.importorskip("in_toto_attestation", reason="needs the package in-toto-attestation")
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2  # type: ignore[import-untyped]
    from in_toto_attestation.v1 import statement_pb2  # type: ignore[import-untyped]
    from in_toto_attestation.v1.statement import Statement as Reference  # type: ignore[import-untyped]

    moment = datetime(2024, 5, 1, tzinfo=UTC)
    payload = slsa_provenance(**BUILD, invocation_id="run-1", started_on=moment).to_payload()  # type: ignore[arg-type]
    parsed = json_format.Parse(payload, statement_pb2.Statement())
    Reference.copy_from_pb(parsed).validate()
    provenance = json_format.ParseDict(json.loads(payload)["predicate"], provenance_pb2.Provenance())
    assert provenance.run_details.builder.id == BUILD["builder_id"]
    assert provenance.build_definition.resolved_dependencies[0].digest["sha256"] == SHA_B
    assert provenance.run_details.metadata.started_on.ToDatetime(tzinfo=UTC) == moment


@pytest.mark.parametrize("builder", ["https://example.org", "urn:fleet:builder"])
def test_a_builder_may_be_a_host_or_a_urn(builder: str) -> None:
    statement = slsa_provenance(**BUILD | {"builder_id": builder})  # type: ignore[arg-type]
    assert statement.predicate["runDetails"]["builder"] == {"id": builder}


def test_the_order_of_inputs_and_outputs_changes_no_byte() -> None:
    outputs = {"x": SHA_A, "y": SHA_B}
    turned = {
        "inputs": dict(reversed(BUILD["inputs"].items())),  # type: ignore[attr-defined]
        "outputs": dict(reversed(outputs.items())),
    }
    here = slsa_provenance(**BUILD | {"outputs": outputs})  # type: ignore[arg-type]
    assert here.to_payload() == slsa_provenance(**BUILD | turned).to_payload()  # type: ignore[arg-type]


def test_a_signed_statement_comes_back_equal() -> None:
    statement = slsa_provenance(**BUILD)  # type: ignore[arg-type]
    text = envelope_json(SIGNER.sign(PAYLOAD_TYPE, statement.to_payload()))
    assert Statement.from_payload(VERIFIER.verify(parse_envelope(text))) == statement


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"outputs": {}}, "without subjects claims nothing"),
        ({"outputs": {"x": "A" * 64}}, "subject 'x' has the digest 'AAA"),
        ({"inputs": {"x": "sha256:" + SHA_A}}, "input 'x' has the digest"),
        ({"inputs": {"": SHA_A}}, "empty name"),
        ({"builder_id": "me"}, "builder id is 'me', expected a URI"),
        ({"build_type": "https://"}, "build type is 'https://', expected a URI"),
        ({"parameters": {"limit": float("nan")}}, r"\$.limit is nan"),
        ({"started_on": datetime(2024, 5, 1)}, "startedOn is .* without a time zone"),  # noqa: DTZ001 - the mistake
    ],
)
def test_provenance_that_says_too_little_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        slsa_provenance(**BUILD | changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "_type is"),
        ({"predicateType": None}, "predicateType is missing"),
        ({"predicateType": "provenance"}, "predicate type is 'provenance', expected a URI"),
        ({"predicate": None}, "predicate is no object"),
        ({"subject": None}, "subject is no list"),
        ({"subject": []}, "without subjects"),
        ({"subject": [{"name": "x"}]}, "malformed digest of 'x'"),
        ({"subject": [{"digest": {"sha256": SHA_A}}]}, "name is missing"),
        ({"subject": [{"name": "x", "digest": {"sha512": SHA_A}}]}, "sha256 is missing"),
        ({"subject": [{"name": "x", "digest": {"sha256": "abc"}}]}, "subject 'x' has the digest 'abc'"),
        ({"subject": [{"name": "x", "digest": {"sha256": SHA_A}}] * 2}, "'x' appears twice"),
    ],
)
def test_a_signed_payload_that_is_no_statement_is_rejected(changed: dict[str, object], message: str) -> None:
    document = json.loads(slsa_provenance(**BUILD).to_payload()) | changed  # type: ignore[arg-type]
    with pytest.raises(SignatureRejectedError, match=message):
        Statement.from_payload(json.dumps(document).encode())


@pytest.mark.parametrize("payload", [b"", b'{"_type": "https://in', b"[]", b"\xff\xfe\xff"])
def test_a_truncated_statement_is_rejected(payload: bytes) -> None:
    with pytest.raises(SignatureRejectedError, match="malformed statement"):
        Statement.from_payload(payload)


def test_an_envelope_is_the_librarys_own() -> None:
    assert isinstance(SIGNER.sign(PAYLOAD_TYPE, b""), Envelope)
    assert repr(SIGNER) == f"EnvelopeSigner(key_id={KEY.public_key.keyid!r})"

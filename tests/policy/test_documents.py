"""Policies come from people and from landing zones of others: whatever is in them, the answer is a clear refusal."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.policy.documents import (
    MAX_DOCUMENT_BYTES,
    InvalidPolicyError,
    digest_of,
    load_document,
    load_policies,
    load_schema,
    parse_yaml,
    validate,
)

POLICIES = Path(__file__).resolve().parents[2] / "policies"
SHIPPED = sorted(str(path.relative_to(POLICIES).with_suffix("")) for path in POLICIES.rglob("*.yaml"))
GATES = "schema: fleet.gates/v1\nquarantined_share: {{max_share: {share}, confidence: 0.95}}\n"


def refused(text: str | bytes, message: str) -> str:
    with pytest.raises(InvalidPolicyError, match=message) as caught:
        parse_yaml(text, "p.yaml")
    assert str(caught.value).startswith("p.yaml: ")
    return str(caught.value)


def billion_laughs(levels: int = 9, width: int = 9) -> str:
    lines = ["a0: &a0 [" + ", ".join(["lol"] * width) + "]"]
    lines += [f"a{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * width) + "]" for level in range(1, levels)]
    return "\n".join(lines)


def test_a_billion_laughs_are_refused_at_the_first_alias() -> None:
    # The classical bomb has 72 aliases: a limit on their number lets it through, and 10^8 values unfold later.
    assert "Write the value out" in refused(billion_laughs(), r"line 2: alias \*a0")


def test_a_document_that_holds_itself_is_refused() -> None:
    refused("a: &x [*x]", "alias")
    refused("&x {a: *x}", "alias")
    refused("a: &x {b: 1}\nc: {<<: *x}", "alias")


@pytest.mark.parametrize(
    "tagged",
    [
        "a: !!python/object/apply:os.system ['touch pwned']",
        "a: !!python/name:os.system",
        "a: !!python/object/new:subprocess.Popen [[id]]",
        "!!python/object/apply:os.system ['touch pwned']",
        "a: !mine 1",
    ],
)
def test_tags_that_would_build_objects_build_none(tagged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(tagged, "not valid YAML")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["a: !!binary aGVsbG8=", "a: !!set {x, y}", "a: !!timestamp 2024-01-01", "a: .nan", "a: [1, {b: -.inf}]"]
)
def test_values_that_json_does_not_know_are_refused(text: str) -> None:
    refused(text, r"\$\.a")


def test_not_a_number_cannot_disable_a_gate_by_passing_every_limit_of_the_schema() -> None:
    with pytest.raises(InvalidPolicyError, match="max_share is nan"):
        load_document(GATES.format(share=".nan").encode(), "gates.yaml")


def test_duplicate_keys_are_refused_with_their_line_at_any_depth() -> None:
    assert "Remove one" in refused("a: 1\nb: 2\na: 3\n", "line 3: key 'a' twice")
    refused("top:\n  inner:\n    x: 1\n    x: 2\n", "line 4: key 'x' twice")


@pytest.mark.parametrize("key", ["1", "1.5", "true", "no", "null", "[a, b]", "{a: b}"])
def test_keys_that_are_not_text_are_refused(key: str) -> None:
    # `no: 1` is the classical case: YAML 1.1 reads the key as false.
    assert "Quote it" in refused(f"? {key}\n: 1\n", "is not text")


def test_an_unquoted_date_is_the_text_that_its_writer_saw() -> None:
    assert parse_yaml("first_day: 2024-05-01", "p.yaml") == {"first_day": "2024-05-01"}


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text", "42", "null", "# only a comment"])
def test_a_document_that_is_no_mapping_is_refused(text: str) -> None:
    refused(text, "expected a mapping")


@pytest.mark.parametrize(
    "text", ["a: [1, 2", "a: b: c", "\t a: 1", "a: 1\n---\nb: 2\n", b"a: \xff\xfe\xff", b"a: \x00", "a: 'open"]
)
def test_broken_yaml_is_refused_with_the_parsers_words(text: str | bytes) -> None:
    refused(text, "not valid YAML")


def test_a_huge_document_is_refused_before_it_is_parsed() -> None:
    assert f"limit {MAX_DOCUMENT_BYTES}" in refused("a: " + "x" * MAX_DOCUMENT_BYTES, "Split the document")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_a_document_nested_without_end_is_refused(opening: str, closing: str) -> None:
    refused("a: " + opening * 20_000 + closing * 20_000, "not valid YAML")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_mapping_or_a_refusal(noise: bytes) -> None:
    try:
        document = parse_yaml(noise, "p.yaml")
    except InvalidPolicyError:
        return
    assert isinstance(document, dict)
    digest_of(document)


BMP = st.text(st.characters(max_codepoint=0xFFFD, exclude_categories=["Cs"]), max_size=80)  # YAML: keys end at 1024


@given(
    st.dictionaries(
        BMP,
        st.recursive(
            st.none() | st.booleans() | st.integers() | BMP,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BMP, inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_what_json_can_say_reads_back_as_it_was(document: dict[str, object]) -> None:
    # Every JSON document of ASCII escapes is YAML.
    assert parse_yaml(json.dumps(document), "p.yaml") == document


def test_a_breach_of_the_schema_names_every_place_at_once() -> None:
    text = b"schema: fleet.gates/v1\nquarantined_share: {max_share: 1.5, confidence: 0.95, extra: 1}\nother: 1\n"
    with pytest.raises(InvalidPolicyError) as caught:
        load_document(text, "gates.yaml")
    message = str(caught.value)
    assert message.startswith("gates.yaml: ")
    assert "(top): Additional properties are not allowed ('other' was unexpected)" in message
    assert "quarantined_share/max_share: 1.5 is greater than the maximum of 1" in message
    assert "quarantined_share: Additional properties are not allowed ('extra' was unexpected)" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: 1", "no `schema:` key. Begin with"),
        (b"schema: 3", "no `schema:` key"),
        (b"schema: gates", "not of the form fleet.NAME/v1"),
        (b"schema: fleet.../../etc/v1", "not of the form"),
        (b"schema: fleet.nothing/v1", "no schema 'nothing'. Known: .*gates"),
    ],
)
def test_a_document_says_which_schema_it_follows(text: bytes, message: str) -> None:
    with pytest.raises(InvalidPolicyError, match=message):
        load_document(text, "p.yaml")


def test_a_pattern_of_a_schema_ends_where_the_text_ends() -> None:
    # Python's `$` also matches before a last newline; a drive id with one would make a file name that none can parse.
    schema = {"properties": {"id": {"pattern": "^[a-z]+$"}, "price": {"pattern": r"\$$"}}}
    validate({"id": "abc", "price": "5$"}, schema, "x")
    with pytest.raises(InvalidPolicyError, match="id: .*does not match"):
        validate({"id": "abc\n"}, schema, "x")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_policy_keeps_its_schema(name: str) -> None:
    document = load_document((POLICIES / f"{name}.yaml").read_bytes(), f"policies/{name}.yaml")
    assert load_policies()[name] == document
    assert "additionalProperties" in load_schema(document["schema"].split(".")[1].split("/")[0])


def test_the_digest_of_a_policy_does_not_depend_on_layout_comments_or_the_order_of_keys(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, text in (
        (one, "schema: fleet.gates/v1\nquarantined_share: {max_share: 0.25, confidence: 0.9}\n"),
        (two, "# mine\nquarantined_share:\n  confidence: 0.9\n  max_share: 0.25\nschema: 'fleet.gates/v1'\n"),
    ):
        folder.mkdir()
        (folder / "gates.yaml").write_text(text)
    assert load_policies(one).digest("gates") == load_policies(two).digest("gates") != load_policies().digest("gates")


def test_the_digest_over_some_keys_changes_with_these_keys_only(tmp_path: Path) -> None:
    shipped = load_policies()
    text = (POLICIES / "sync.yaml").read_text()
    assert "clip_s: 20" in text
    (tmp_path / "sync.yaml").write_text(text.replace("clip_s: 20", "clip_s: 30"))
    changed = load_policies(tmp_path)
    assert changed.digest("sync", "clock", "skew") == shipped.digest("sync", "clock", "skew")
    assert changed.digest("sync", "clip_s", "clock") != shipped.digest("sync", "clip_s", "clock")
    assert changed.digest("sync") != shipped.digest("sync")


def test_the_users_own_policy_wins_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text(GATES.format(share=0.125))
    policies, shipped = load_policies(tmp_path), load_policies()
    assert policies["gates"]["quarantined_share"]["max_share"] == 0.125
    assert policies["sync"] == shipped["sync"]
    assert policies.folders[-1] == tmp_path
    assert load_policies(tmp_path / "absent").documents == shipped.documents


def test_a_broken_policy_of_the_user_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text(GATES.format(share=7))
    with pytest.raises(InvalidPolicyError, match=r"gates\.yaml: quarantined_share/max_share: 7"):
        load_policies(tmp_path)


def test_a_vehicle_spec_under_another_name_than_its_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vehicles").mkdir()
    spec = (POLICIES / "vehicles" / "css_canedge.yaml").read_text()
    (tmp_path / "vehicles" / "my_car.yaml").write_text(spec)
    with pytest.raises(InvalidPolicyError, match="states name 'css_canedge'. Name file and spec alike"):
        load_policies(tmp_path)


def test_an_unknown_policy_is_named_with_the_known_ones_beside_it() -> None:
    with pytest.raises(InvalidPolicyError, match=r"no policy 'vehicles/nope'. Known: .*vehicles/comma2k19_rav4"):
        load_policies()["vehicles/nope"]


def test_policies_are_parsed_again_only_when_a_text_changed(tmp_path: Path) -> None:
    gates = tmp_path / "gates.yaml"
    gates.write_text(GATES.format(share=0.5))
    first = load_policies(tmp_path)
    assert load_policies(tmp_path) is first
    gates.write_text(GATES.format(share=0.6))  # same size, same place
    second = load_policies(tmp_path)
    assert second.digest("gates") != first.digest("gates")
    gates.write_text(GATES.format(share=0.5))
    assert load_policies(tmp_path).digest("gates") == first.digest("gates")
    gates.unlink()
    assert load_policies(tmp_path).digest("gates") == load_policies().digest("gates")


def test_a_document_nested_deeper_than_anyone_writes_is_refused_with_its_line() -> None:
    refused("a: 1\nb: " + "[" * 120 + "]" * 120, "line 2: nested deeper than 100 levels")

"""Text to tokens to vectors: published examples, and what must not change a vector."""

from pathlib import Path

import numpy as np
import pytest

from fleet_assets.perception.sentences import SentenceNetwork
from fleet_assets.perception.vectors import cosines
from fleet_assets.perception.wordpiece import UnusableVocabularyError, WordPieces
from fleet_assets.policy.documents import load_policies
from resources.weights import WeightsError, WeightStore


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    return dict(WeightStore(load_policies()).open("all_minilm_l6_v2").files)


@pytest.fixture(scope="module")
def network(files: dict[str, Path]) -> SentenceNetwork:
    return SentenceNetwork(files["parameters"], files["vocabulary"], 256)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # Of bert-base-uncased, whose vocabulary this is; by tokenizers 0.23.3 with the model's own tokenizer.json.
        ("Hello, world!", [101, 7592, 1010, 2088, 999, 102]),
        ("unaffable", [101, 14477, 20961, 3468, 102]),
        ("", [101, 102]),
        ("  Straße\tnaïve\x00 café ", [101, 2358, 27807, 15743, 7668, 102]),
        ("50 km/h", [101, 2753, 2463, 1013, 1044, 102]),
        ("日本 🚗", [101, 1864, 1876, 100, 102]),
        ("x" * 101, [101, 100, 102]),
    ],
)
def test_text_is_split_as_the_model_was_trained_with(files: dict[str, Path], text: str, tokens: list[int]) -> None:
    assert WordPieces(files["vocabulary"])(text, 256) == tokens


def test_a_long_text_is_cut_off_between_begin_and_end(files: dict[str, Path]) -> None:
    tokens = WordPieces(files["vocabulary"])("brake " * 400, 256)
    assert len(tokens) == 256
    assert (tokens[0], tokens[-1]) == (101, 102)


def test_a_vocabulary_without_begin_and_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(UnusableVocabularyError, match=r"\[CLS\], \[SEP\], \[UNK\]"):
        WordPieces(tmp_path / "vocab.txt")


def test_likeness_is_that_of_the_models_card(network: SentenceNetwork) -> None:
    """The example of sentence-transformers/all-MiniLM-L6-v2 on the Hugging Face hub: 0.695, 0.943, 0.257."""
    asked, _ = network("That is a happy person")
    others = [
        network(text)[0] for text in ("That is a happy dog", "That is a very happy person", "Today is a sunny day")
    ]
    assert cosines(asked[None], np.array(others))[0] == pytest.approx([0.695, 0.943, 0.257], abs=1e-3)


def test_a_text_has_the_same_bits_whatever_was_asked_before(network: SentenceNetwork) -> None:
    first, tokens = network("a hard brake at night")
    network("something much longer that was never said about any clip of any drive")
    again, _ = network("a hard brake at night")
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert (first.shape, tokens) == ((384,), 7)


def test_weights_of_texts_are_no_detector() -> None:
    opened = WeightStore(load_policies()).open("all_minilm_l6_v2")
    with pytest.raises(WeightsError, match="take no pictures"):
        _ = opened.input

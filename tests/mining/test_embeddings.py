"""What becomes a vector: sentences about a clip, its motion, and which model made what."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from fleet_assets.mining.embeddings_and_vector_index.motion import Moved, motion_vector, signals_of
from fleet_assets.mining.embeddings_and_vector_index.operators import (
    CATALOG,
    EMBED_CLIPS,
    extremes_of,
    model_digest,
    sentence_model,
)
from fleet_assets.mining.embeddings_and_vector_index.words import Known, clip_sentences, columns_of
from fleet_assets.perception.vectors import cosines
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import all_tables
from resources.weights import WeightStore

POLICIES = load_policies()
WORDS: Mapping[str, Any] = POLICIES["embeddings"]["words"]
MOTION: Mapping[str, Any] = POLICIES["embeddings"]["motion"]
EXTREMES = extremes_of(POLICIES)
KNOWN = {"triggers": {"hard_brake": Known("The vehicle slows down hard.", 5.0)}}
GRID_NS = 100_000_000


# -- words ---------------------------------------------------------------------------------------------------------


def said(**rows: Any) -> dict[str, float]:
    tables = {"catalog": CATALOG, "road": "silver.enriched_clips", "event": "gold.event_windows"}
    empty = {name: dict.fromkeys(columns) for name, columns in columns_of(WORDS).items()}
    return clip_sentences(WORDS, {tables[name]: [{**empty[tables[name]], **row}] for name, row in rows.items()}, KNOWN)


def test_events_come_first_with_their_description_then_tags_road_and_weather() -> None:
    sentences = said(
        event={"trigger": "hard_brake"},
        catalog={"tags": "night hard_brake"},
        road={"road_class": "motorway_link", "work_zone": True, "precipitation_mm_h": 5.0},
    )
    assert list(sentences) == [
        "hard brake: The vehicle slows down hard",
        "at night",
        "hard braking",
        "on a motorway link road",
        "through a construction zone with road works",
        "in rain",
        "in heavy rain",
    ]


def test_what_is_not_known_is_not_said_and_nothing_is_said_twice() -> None:
    assert said(road={"precipitation_mm_h": None, "work_zone": False, "visibility_m": 5000.0}) == {}
    event = {"trigger": "swerve"}
    assert clip_sentences(WORDS, {"gold.event_windows": [event, event]}, KNOWN) == {"swerve": 1.0}


def test_the_rarer_an_event_usually_is_the_more_its_sentence_counts_and_never_less_than_another() -> None:
    usual = {"a": Known("A.", 0.5), "b": Known("B.", 20.0), "c": Known("C.", 300.0)}
    events = [{"trigger": name} for name in usual]
    found = clip_sentences(WORDS, {"gold.event_windows": events}, {"triggers": usual})
    assert found == {"a: A": pytest.approx(6.502, abs=1e-3), "b: B": pytest.approx(2.813, abs=1e-3), "c: C": 1.0}
    assert said(catalog={"tags": "night"}) == {"at night": 1.0}


def test_every_phrase_reads_columns_that_there_are() -> None:
    tables = all_tables(POLICIES["canonical_signals"])
    for name, columns in columns_of(WORDS).items():
        assert name in EMBED_CLIPS.inputs
        assert {*columns, "clip_id"} <= set(tables[name].arrow_schema.names)
    assert set(signals_of(MOTION, EXTREMES)) <= set(tables["silver.signals"].arrow_schema.names)


def test_every_tag_of_the_catalog_has_words_of_its_own() -> None:
    (called,) = (phrase["called"] for phrase in WORDS["phrases"] if phrase["table"] == CATALOG)
    assert set(called) == set(POLICIES["catalog"]["tags"])


# -- motion --------------------------------------------------------------------------------------------------------


def moved(speed: Any, yaw_rate: Any = 0.0, **more: Any) -> Moved:
    values = np.asarray(speed, dtype=np.float64)
    signals = {"speed_mps": values, "yaw_rate_radps": np.broadcast_to(np.asarray(yaw_rate, float), values.shape)}
    t_ns = np.arange(len(values), dtype=np.int64) * GRID_NS
    return motion_vector(t_ns, {**signals, **more}, MOTION, EXTREMES)


def likeness(one: Moved, other: Moved) -> float:
    assert one.vector is not None
    assert other.vector is not None
    return float(cosines(one.vector[None], other.vector[None])[0, 0])


def braking(at_s: float) -> np.ndarray:
    """20 s at 15 m/s with two seconds of braking at 4 m/s^2 somewhere."""
    t = np.arange(200) / 10.0
    return 15.0 - 4.0 * np.clip(t - at_s, 0.0, 2.0)


def test_a_hard_brake_is_most_like_a_hard_brake_wherever_in_the_clip_it_is() -> None:
    late, early, steady = moved(braking(12.0)), moved(braking(5.0)), moved(np.full(200, 13.0))
    turning = moved(np.full(200, 13.0), yaw_rate=0.2)
    assert likeness(late, early) > max(likeness(late, steady), likeness(late, turning)) + 0.1


def test_the_vector_depends_on_the_clip_alone_and_has_one_length() -> None:
    one, short = moved(braking(5.0)), moved(np.full(90, 3.0))
    assert one.vector is not None
    assert short.vector is not None
    features = MOTION["course"]["points"] + len(MOTION["levels"]["quantiles"])
    length = len(MOTION["channels"]) * features + 1 + len(MOTION["extremes"]["kinds"])
    assert len(one.vector) == len(short.vector) == length
    assert one.vector.dtype == np.float32
    again = moved(braking(5.0))
    assert again.vector is not None
    assert np.array_equal(one.vector, again.vector)
    assert (one.samples, short.samples) == (200, 90)


def test_gaps_are_bridged_and_a_clip_with_too_many_has_no_vector() -> None:
    whole = np.linspace(5.0, 15.0, 200)
    holes, most = whole.copy(), whole.copy()
    holes[50:60] = np.nan
    most[20:] = np.nan
    assert likeness(moved(whole), moved(holes)) > 0.99
    assert moved(holes).samples == 190
    assert moved(most).vector is None
    assert moved(whole[:10]).vector is None
    assert moved(np.empty(0)).vector is None


def test_a_vehicle_without_gyroscope_is_told_by_its_course() -> None:
    t = np.arange(200) / 10.0
    left = moved(np.full(200, 10.0), yaw_rate=0.1)
    by_course = moved(np.full(200, 10.0), np.full(200, np.nan), heading_deg=(5.0 - np.degrees(0.1 * t)) % 360.0)
    right = moved(np.full(200, 10.0), yaw_rate=-0.1)
    assert likeness(left, by_course) > 0.96
    assert likeness(left, right) < 0.8


def test_speed_of_the_receiver_stands_in_for_a_missing_one() -> None:
    none = np.full(200, np.nan)
    replaced = moved(none, gnss_speed_mps=braking(5.0))
    assert likeness(replaced, moved(braking(5.0))) > 0.97


# -- models --------------------------------------------------------------------------------------------------------


def test_a_model_is_another_one_when_weights_or_what_shapes_a_vector_change_and_not_when_texts_do() -> None:
    weights = WeightStore(POLICIES)
    own = model_digest(sentence_model(WORDS), weights)
    assert own == model_digest(sentence_model({**WORDS, "phrases": []}), weights)
    assert own != model_digest(sentence_model({**WORDS, "most_tokens": 128}), weights)
    assert own != model_digest(sentence_model({**WORDS, "pooled": "one_text"}), weights)
    assert own != model_digest({**sentence_model(WORDS), "weights": "efficientnet_lite0"}, weights)
    assert model_digest(MOTION, None) != model_digest({**MOTION, "anchor": 2}, None)


def test_features_are_cut_off_where_the_policy_says() -> None:
    wild = moved(np.full(200, 90.0))
    assert wild.vector is not None
    points = MOTION["course"]["points"]
    most = MOTION["limit"] * MOTION["course"]["weight"] / np.sqrt(points)
    anchor = wild.vector[-1 - len(MOTION["extremes"]["kinds"])] / MOTION["anchor"]
    assert wild.vector[:points] / anchor == pytest.approx(np.full(points, most))

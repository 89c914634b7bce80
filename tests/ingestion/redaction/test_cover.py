"""What is covered cannot be got back: not by sharpening, and not by who knows what it may have been."""

import string

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.cover import CoverRule, blurred_pixels, covered
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.plan import Area
from fleet_assets.policy.documents import load_policies

RULE = CoverRule.from_policy(load_policies()["redaction"])
Picture = NDArray[np.uint8]


def area(left: int, top: int, right: int, bottom: int) -> Area:
    return Area("face", 0, left, top, right, bottom, True, 0.9)


def street(seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (200, 320, 3)).astype(np.uint8)


def plate(text: str, jitter: tuple[int, int] = (0, 0)) -> Picture:
    """A plate of 120 x 28 px on grey, in a picture of 200 x 80 px."""
    shown = np.full((80, 200, 3), 120, np.uint8)
    cv2.rectangle(shown, (40, 26), (160, 54), (235, 235, 235), -1)
    cv2.putText(
        shown, text, (46 + jitter[0], 48 + jitter[1]), cv2.FONT_HERSHEY_SIMPLEX, 0.75, (20, 20, 20), 2, cv2.LINE_AA
    )
    return shown


def texts(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    letters, digits = list(string.ascii_uppercase), list(string.digits)
    return ["".join([*rng.choice(letters, 3), *rng.choice(digits, 4)]) for _ in range(count)]


def test_outside_the_areas_not_a_value_changes() -> None:
    before = street()
    after = covered(before, [area(40, 30, 90, 80), area(300, 190, 320, 200)], RULE)
    mask = np.zeros(before.shape[:2], bool)
    mask[30:80, 40:90] = mask[190:200, 300:320] = True
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert (after[mask] != before[mask]).mean() > 0.9


def test_inside_no_high_frequency_is_left() -> None:
    """Of noise, the most that can be hidden: neighbouring pixels hardly differ, and waves are long."""
    after = covered(street(), [area(20, 20, 180, 148)], RULE)[20:148, 20:180].astype(float)
    assert np.abs(np.diff(after, axis=0)).max() <= RULE.step
    # A cosine transform: areas do not repeat, so that a Fourier transform would see their edges.
    energy = cv2.dct(after[:, :, 0] - after[:, :, 0].mean()) ** 2
    assert energy[12:, :].sum() + energy[:12, 12:].sum() <= 0.01 * energy.sum()


def test_an_area_holds_no_more_values_than_its_cells() -> None:
    """What an area says is a function of at most cells x cells x 3 coarse numbers."""
    rng = np.random.default_rng(3)
    seen = {covered(rng.integers(100, 104, (40, 60, 3)).astype(np.uint8), [area(0, 0, 60, 40)], RULE).tobytes()
            for _ in range(50)}  # fmt: skip
    assert len(seen) == 1


@pytest.mark.parametrize("offset", [(0, 0), (1, 1)])
def test_a_plate_cannot_be_picked_from_a_list_by_covering_every_candidate_the_same_way(offset: tuple[int, int]) -> None:
    """Known plaintext: the attacker has the rule, the box and a list with the right text, and compares all pixels."""
    candidates = texts(200, seed=1)
    box = [area(36, 20, 164, 60)]
    gallery = np.stack([covered(plate(text), box, RULE)[20:60, 36:164] for text in candidates]).astype(float)
    ranks = []
    for number, text in enumerate(candidates[:60]):
        found = covered(plate(text, offset), box, RULE)[20:60, 36:164].astype(float)
        distance = np.abs(gallery - found).mean(axis=(1, 2, 3))
        # Candidates at the same distance cannot be told apart: their order is a lottery.
        ranks.append((distance < distance[number]).sum() + ((distance == distance[number]).sum() - 1) / 2)
    # A sound attack has rank 0 nearly always; a guess has 99.5 on average, and is right once in 200.
    assert np.mean([rank < 1 for rank in ranks]) <= 0.1
    assert np.median(ranks) >= 20


def test_the_same_attack_succeeds_against_a_mere_gaussian_blur() -> None:
    """The attack is a real one: it tells which of 200 texts lies under a strong Gaussian blur."""
    candidates = texts(200, seed=1)

    def blurred(text: str) -> Picture:
        return np.asarray(cv2.GaussianBlur(plate(text), (0, 0), 8.0)[20:60, 36:164])

    gallery = np.stack([blurred(text) for text in candidates]).astype(float)
    ranks = [(np.abs(gallery - blurred(text)).mean(axis=(1, 2, 3)) < 1e-9).argmax() for text in candidates[:60]]
    assert [int(rank) for rank in ranks] == list(range(60))


def test_overlapping_areas_show_nothing_of_each_other_and_their_order_does_not_matter_to_what_is_outside() -> None:
    before = street(5)
    areas = [area(20, 20, 90, 90), area(60, 60, 140, 120)]
    one, two = covered(before, areas, RULE), covered(before, areas[::-1], RULE)
    mask = np.zeros(before.shape[:2], bool)
    mask[20:90, 20:90] = mask[60:120, 60:140] = True
    np.testing.assert_array_equal(one[~mask], two[~mask])
    for after in (one, two):
        assert np.corrcoef(after[mask].ravel().astype(float), before[mask].ravel().astype(float))[0, 1] < 0.2
    assert blurred_pixels(areas, (320, 200)) == int(mask.sum())


@pytest.mark.parametrize("edges", [(0, 0, 1, 1), (319, 0, 320, 200), (0, 199, 320, 200), (5, 5, 7, 6)])
def test_areas_of_a_pixel_or_a_row_are_covered_too(edges: tuple[int, int, int, int]) -> None:
    after = covered(street(), [area(*edges)], RULE)
    inside = after[edges[1] : edges[3], edges[0] : edges[2]].astype(int)
    assert np.abs(np.diff(inside, axis=1)).max(initial=0) <= RULE.step * 8

"""The aligned crop: landmarks meet the geometry, whatever the face's place, size and turn; against plain loops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.features.crop import CANONICAL, align, crop_to_image, view

POINTS = np.array(CANONICAL.landmarks)


def placed(scale: float, turn_deg: float, x: float, y: float) -> np.ndarray:
    """The canonical landmarks, scaled, turned clockwise and moved."""
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (scale * POINTS @ turn.T + (x, y)).astype(np.float32)


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)


@settings(max_examples=50, deadline=None)
@given(
    scale=st.floats(0.2, 30), turn_deg=st.floats(-180, 180), x=st.floats(-500, 500), y=st.floats(-500, 500)
)
def test_the_similarity_that_placed_the_landmarks_is_found(scale, turn_deg, x, y):
    to_image = crop_to_image(placed(scale, turn_deg, x, y), CANONICAL)
    assert to_image[:, :2] @ POINTS.T + to_image[:, 2:] == pytest.approx(
        placed(scale, turn_deg, x, y).T, abs=1e-2
    )
    assert np.hypot(*to_image[:, 0]) == pytest.approx(scale, rel=1e-4)


@pytest.mark.parametrize(("scale", "turn_deg"), [(1.0, 0.0), (1.7, 25.0), (0.6, -40.0)])
def test_every_pixel_is_the_pictures_at_its_place(scale, turn_deg):
    image = smooth((200, 220))
    to_image = crop_to_image(placed(scale, turn_deg, 70, 60), CANONICAL)
    crop = align(image, placed(scale, turn_deg, 70, 60))
    for row in range(0, 48, 5):
        for column in range(0, 48, 5):
            x, y = to_image @ (column + 0.5, row + 0.5, 1) - 0.5
            x, y = np.clip(x, 0, 218.999), np.clip(y, 0, 198.999)
            left, top = int(x), int(y)
            corner = image[top : top + 2, left : left + 2].astype(float)
            expected = np.array([1 - (y - top), y - top]) @ corner @ np.array([1 - (x - left), x - left])
            assert crop[row, column] == pytest.approx(expected, abs=4)  # OpenCV's weights have five bits


@pytest.mark.parametrize("scale", [2.3, 4.0, 9.1])
@pytest.mark.parametrize("turn_deg", [0.0, 33.0])
def test_a_large_face_gives_the_crop_of_its_small_copy(scale, turn_deg):
    """Crop what was enlarged by ``scale``: the crop of the original, at any scale and turn."""
    image = smooth((90, 100), seed=1)
    side = int(scale * 100)
    enlarged = cv2.resize(image, (side, int(scale * 90)), interpolation=cv2.INTER_LINEAR)
    factor = np.array([side / 100, int(scale * 90) / 90])
    small = align(image, placed(1.0, turn_deg, 30, 20))
    large = align(enlarged, (placed(1.0, turn_deg, 30, 20) * factor).astype(np.float32))
    assert large[4:-4, 4:-4] == pytest.approx(small[4:-4, 4:-4].astype(float), abs=6)


def test_a_fine_pattern_does_not_alias():
    stripes = np.zeros((800, 800), np.uint8)
    stripes[:, ::2] = 255
    crop = align(stripes, placed(12.0, 0.0, 100, 100))
    assert crop.std() < 2
    assert crop.mean() == pytest.approx(127, abs=2)


def test_colours():
    image = smooth((100, 100, 3))
    points = placed(1.3, 10.0, 20, 20)
    bgra = np.dstack([image, np.full((100, 100), 9, np.uint8)])
    colour = align(image, points, grey=False)
    assert colour.shape == (48, 48, 3)
    assert np.array_equal(align(bgra, points, grey=False), colour)
    assert np.array_equal(align(bgra, points), cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))
    grey = image[:, :, 0].copy()
    assert np.array_equal(align(grey, points, grey=False)[:, :, 1], align(grey, points))


def test_the_same_view_in_more_pixels():
    geometry = CANONICAL.scaled(112)
    assert geometry.size == 112
    image = smooth((200, 200))
    large = align(image, placed(2.0, 5.0, 40, 40), geometry)
    assert large.shape == (112, 112)
    shrunk = cv2.resize(large, (48, 48), interpolation=cv2.INTER_AREA)
    assert shrunk == pytest.approx(align(image, placed(2.0, 5.0, 40, 40)).astype(float), abs=12)


def test_the_picture_is_left_alone_and_need_not_be_contiguous():
    image = smooth((300, 300, 3))
    before = image.copy()
    strided = image[::2, ::2]
    crop = align(strided, placed(1.0, 0.0, 40, 40))
    assert np.array_equal(image, before)
    assert np.array_equal(crop, align(strided.copy(), placed(1.0, 0.0, 40, 40)))


@pytest.mark.parametrize("x", [-4000.0, -40.0, 90.0, 4000.0])
def test_what_is_outside_repeats_the_edge(x):
    image = smooth((60, 100))
    crop = align(image, placed(1.0, 0.0, x, 10))
    assert crop.shape == (48, 48)
    if abs(x) > 1000:
        assert (np.ptp(crop, axis=1) == 0).all()


def test_a_tiny_picture_has_a_crop():
    assert view(np.full((1, 1, 3), 50, np.uint8), np.array([[1.0, 0, 0], [0, 1, 0]]), 48).shape == (48, 48, 3)


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_landmarks_that_tell_nothing_are_refused(points):
    with pytest.raises(ValueError, match="coincide or are not finite"):
        align(np.zeros((60, 60), np.uint8), points.astype(np.float32))


def test_an_empty_picture_is_refused():
    with pytest.raises(ValueError, match="empty"):
        align(np.zeros((0, 60), np.uint8), placed(1, 0, 0, 0))

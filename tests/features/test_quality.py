"""Facts about faces: closed forms, plain loops, and the order that they must have."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.config import QualityThresholds
from edge_emotion.features.quality import FACE_MM, FaceFacts, blur, flags, head_pose, lower_detail, measure
from edge_emotion.types import FaceBox

GOOD = FaceFacts(face_px=90.0, score=0.9, blur=0.35, yaw_deg=0.0, roll_deg=0.0, brightness=120.0)


def turned(yaw_deg: float, pitch_deg: float, roll_deg: float, scale: float = 1.0) -> np.ndarray:
    """Landmarks of the typical face, turned to the side, then nodding, then tilted."""
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    side = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return (scale * FACE_MM @ (tilt @ nod @ side).T)[:, :2].astype(np.float32) + 200


@settings(max_examples=60, deadline=None)
@given(
    yaw_deg=st.floats(-75, 75),
    pitch_deg=st.floats(-40, 40),
    roll_deg=st.floats(-170, 170),
    scale=st.floats(0.2, 10),
)
def test_the_pose_of_the_typical_face_is_found(yaw_deg, pitch_deg, roll_deg, scale):
    found = head_pose(turned(yaw_deg, pitch_deg, roll_deg, scale))
    assert found == pytest.approx((yaw_deg, roll_deg), abs=0.1)


def test_landmarks_that_coincide_have_no_pose():
    assert head_pose(np.full((5, 2), 3.0, np.float32)) == (0.0, 0.0)


def naive_blur(picture: np.ndarray) -> float:
    """Crete et al. (2007), equations 1 to 7, pixel by pixel; edges repeat, as the filter's border does."""
    values = []
    for grey in (picture.astype(float), picture.T.astype(float)):
        rows, columns = grey.shape
        total = kept = 0.0
        for j in range(columns):
            column = grey[:, j]
            padded = np.concatenate([[column[0]] * 4, column, [column[-1]] * 4])
            smooth = [padded[i : i + 9].mean() for i in range(rows)]
            for i in range(1, rows):
                step = abs(column[i] - column[i - 1])
                total += step
                kept += max(0.0, step - abs(smooth[i] - smooth[i - 1]))
        values.append(1.0 - kept / total)
    return max(values)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
def test_blur_is_that_of_plain_loops(sigma):
    noise = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    picture = noise if sigma == 0 else cv2.GaussianBlur(noise, (0, 0), sigma)
    assert blur(picture) == pytest.approx(naive_blur(picture), abs=1e-4)


def test_more_blur_is_more_blur_whatever_the_contrast():
    noise = np.random.default_rng(1).random((48, 48), np.float32)
    blurred = [noise, *(cv2.GaussianBlur(noise, (0, 0), sigma) for sigma in (0.8, 1.5, 3.0, 6.0))]
    pictures = [cv2.normalize(picture, None, 0, 200, cv2.NORM_MINMAX).astype(np.uint8) for picture in blurred]
    values = [blur(picture) for picture in pictures]
    assert values == sorted(values)
    assert values[0] < 0.25 < 0.6 < values[-1] < 1.0
    noise = pictures[0]
    assert blur(noise // 4 + 50) == pytest.approx(values[0], abs=0.02)
    assert blur(np.full((48, 48), 9, np.uint8)) == 1.0


def test_measuring_a_face():
    crop = np.zeros((48, 48), np.uint8)
    crop[8:40, 8:40] = 100
    face = FaceBox(10.0, 20.0, 64.0, 80.0, turned(20, 0, 10), 0.87)
    facts = measure(face, crop)
    assert (facts.face_px, facts.score, facts.brightness) == (64.0, 0.87, 100.0)
    assert (facts.yaw_deg, facts.roll_deg) == pytest.approx((20, 10), abs=0.1)


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        ([], ("no_face",)),
        ([GOOD], ()),
        ([GOOD, GOOD._replace(brightness=1.0)], ("multi_face",)),
        ([GOOD._replace(brightness=49.0)], ("low_light",)),
        ([GOOD._replace(blur=0.51)], ("blur",)),
        ([GOOD._replace(yaw_deg=-36.0)], ("off_axis",)),
        (
            [GOOD._replace(brightness=9.0, blur=0.9, yaw_deg=60.0), GOOD],
            ("multi_face", "low_light", "blur", "off_axis"),
        ),
    ],
)
def test_flags_follow_from_facts(faces, expected):
    assert flags(faces, QualityThresholds()) == expected


def test_a_plain_lower_half_has_little_detail() -> None:
    face = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    masked = face.copy()
    masked[24:] = 120
    assert lower_detail(face) == pytest.approx(0, abs=0.1)
    assert lower_detail(masked) < -2
    assert lower_detail(masked[::-1]) > 2
    assert lower_detail(np.full((48, 48), 7, np.uint8)) == 0
    # Contrast and brightness cancel, but for the two grey levels that are added.
    assert lower_detail(face // 4 + 50) == pytest.approx(lower_detail(face), abs=0.02)

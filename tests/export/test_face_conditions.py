"""The table of conditions: each spoils what its name says, seeded, at any size, grey or in colour."""

import cv2
import numpy as np
import pytest
from edge_emotion_export.training.face_conditions import CONDITIONS, HELD_OUT, TRAINED
from edge_emotion_export.training.face_occlusion import BOX_WIDTH, Place
from edge_emotion_export.training.face_sightings import FACTS, FITTED, PICTURE_PX, Sightings, frame, look
from face_corpora import drawn_face
from portraits import portrait, yunet

from edge_emotion.features.crop import CANONICAL
from edge_emotion.features.quality import blur, head_pose

GREY = frame(drawn_face(1, np.random.default_rng(0), 112))
LANDMARKS = np.array(CANONICAL.landmarks, np.float32) * PICTURE_PX / 48 + 48


def show(name, picture=GREY, landmarks=LANDMARKS, seed=0):
    return CONDITIONS[name].show(picture, landmarks, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_shape_stays_and_a_seed_gives_the_same_again(name):
    colour = cv2.cvtColor(GREY, cv2.COLOR_GRAY2BGR)[:-1, :-3]  # of odd sides
    before = colour.copy()
    for picture in (GREY, colour):
        shown, again, other = show(name, picture), show(name, picture), show(name, picture, seed=1)
        assert shown.picture.shape == picture.shape
        assert shown.picture.dtype == np.uint8
        assert shown.landmarks.shape == (5, 2)
        np.testing.assert_array_equal(shown.picture, again.picture)
        if name not in ("clean", "jitter"):
            assert (shown.picture != picture).any()
        if CONDITIONS[name].high > CONDITIONS[name].low and name != "jitter":
            assert (shown.picture != other.picture).any()
    np.testing.assert_array_equal(colour, before)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_crop_of_the_encoders_size_will_do(name):
    face = drawn_face(2, np.random.default_rng(1), 48)
    assert show(name, face, np.array(CANONICAL.landmarks, np.float32)).picture.shape == (48, 48)


def test_what_is_held_out_is_not_trained():
    wanted = {"jpeg", "h264", "mask", "microphone", "back_light", "rotated_far", "turned_far", "face_12px"}
    assert set(HELD_OUT) == wanted
    assert (*TRAINED, *HELD_OUT) == tuple(CONDITIONS)
    assert CONDITIONS["rotated"].high <= 25 <= CONDITIONS["rotated_far"].low


@pytest.mark.parametrize(("name", "width"), [("face_24px", 24), ("face_18px", 18), ("face_12px", 12)])
def test_a_far_face_has_the_width_of_its_name(name, width):
    shown = show(name)
    assert BOX_WIDTH * Place.of(shown.landmarks).eyes_px == pytest.approx(width, rel=0.05)
    assert (shown.picture[:100] == shown.picture[0, 0]).all()


def test_light_detail_and_noise_change_as_the_names_say():
    inside = np.s_[96:192, 96:192]
    assert blur(show("motion_blur").picture[inside]) > blur(GREY[inside]) + 0.03
    assert blur(show("focus_blur").picture[inside]) > blur(GREY[inside]) + 0.03
    assert show("dark").picture.mean() < 0.45 * GREY.mean()
    lit = show("back_light").picture
    assert lit[inside].mean() < 0.6 * GREY[inside].mean()
    assert lit[:40].mean() > 200
    for name, least in (("jpeg", 1.0), ("h264", 1.0)):
        error = np.abs(show(name).picture.astype(int) - GREY)
        assert least < error[inside].mean() < 12


@pytest.mark.parametrize(
    ("name", "covered", "free"),
    [
        ("mask", (0.0, 1.1), (0.5, 0.0)),
        ("glasses", (0.0, 0.0), (0.0, 1.0)),
        ("microphone", (0.0, 1.35), (0.5, 0.0)),
    ],
)
def test_what_is_worn_covers_its_place_and_leaves_the_rest(name, covered, free):
    place = Place.of(LANDMARKS)
    flat = np.full_like(GREY, 130)
    changed = np.mean([show(name, flat, seed=seed).picture != flat for seed in range(20)], axis=0)
    (x, y), (u, v) = (np.rint(place.at(point)[0]).astype(int) for point in (covered, free))
    assert changed[y, x] > 0.8
    assert changed[v, u] < 0.2 or name == "glasses"
    assert changed[:20].max() == 0


def test_a_hand_has_the_faces_colour_and_covers_a_part():
    shares = [(show("hand", seed=seed).picture != GREY).mean() for seed in range(12)]
    assert 0.01 < min(shares) < max(shares) < 0.25


def test_turned_pictures_take_their_landmarks_along():
    picture, yunet_ = portrait(0), yunet()
    face = yunet_.compute(picture)[0]
    for name in ("rotated", "turned", "far", "turned_far"):
        for seed in range(4):
            shown = show(name, picture, face.landmarks, seed)
            again = yunet_.compute(shown.picture)
            if name != "far":  # shrunk below what is found in a whole picture
                assert again
            if again:
                off = np.abs(again[0].landmarks - shown.landmarks).max()
                assert off < 0.25 * Place.of(face.landmarks).eyes_px


def test_a_head_turned_to_a_side_has_a_yaw_of_that_side():
    picture, detector = portrait(0), yunet()
    face = detector.compute(picture)[0]
    straight = head_pose(face.landmarks)[0]
    turned = [show("turned_far", picture, face.landmarks, seed) for seed in range(6)]
    found = [head_pose(detector.compute(shown.picture)[0].landmarks)[0] - straight for shown in turned]
    true = [head_pose(shown.landmarks)[0] - straight for shown in turned]
    assert np.sign(found).tolist() == np.sign(true).tolist()
    assert np.abs(found).min() > 6
    assert {-1.0, 1.0} == set(np.sign(found))


def test_jitter_moves_what_was_found_and_not_the_picture():
    rng, condition = np.random.default_rng(0), CONDITIONS["jitter"]
    assert show("jitter").picture is GREY
    off = np.std([condition.report(LANDMARKS, rng) - LANDMARKS for _ in range(200)])
    assert 0.03 < off / Place.of(LANDMARKS).eyes_px < 0.12
    np.testing.assert_array_equal(CONDITIONS["dark"].report(LANDMARKS, rng), LANDMARKS)


def test_every_condition_shows_in_the_facts_of_real_faces():
    pictures = [portrait(index)[20:260, 60:300] for index in range(3)]
    names = ("clean", "far", "face_18px", "focus_blur", "dark", "turned_far", "jitter", "mask")
    seen = look(pictures, yunet(), conditions=names, seed=3)
    px, score, blurred, yaw, light, lower_detail = range(len(FACTS))
    facts = {name: np.median(seen.facts[seen.under(name)], axis=0) for name in names}
    assert facts["far"][px] < 0.7 * facts["clean"][px]
    assert facts["face_18px"][px] == pytest.approx(18, abs=3)
    assert facts["focus_blur"][blurred] > facts["clean"][blurred]
    assert facts["dark"][light] < 0.5 * facts["clean"][light]
    assert facts["turned_far"][yaw] > facts["clean"][yaw]
    assert facts["mask"][lower_detail] < facts["clean"][lower_detail]
    assert (seen.facts[:, score] >= 0.6).all()
    again = look(pictures, yunet(), conditions=names[::-1], seed=3)
    for name in names:  # whatever else is looked at
        np.testing.assert_array_equal(seen.crops[seen.under(name)], again.crops[again.under(name)])


def test_a_face_that_is_not_found_gives_no_row_or_the_crop_of_its_place():
    class Blind:
        def compute(self, image):
            return []

    pictures = [drawn_face(1, np.random.default_rng(0), 112)]
    assert len(look(pictures, Blind(), conditions=("clean", "dark"))) == 0
    seen = look(pictures, Blind(), conditions=("clean", "dark"), missed=True)
    assert seen.condition.tolist() == [0, list(CONDITIONS).index("dark")]
    assert seen.facts[:, FACTS.index("score")].tolist() == [0, 0]
    whole = cv2.resize(pictures[0], (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(seen.crops[0].astype(int) - whole).mean() < 6


def test_the_fitted_rows_are_clean_and_a_few_of_the_trained_conditions_in_turn():
    items, conditions = (a.ravel() for a in np.mgrid[:22, : len(CONDITIONS)])
    seen = Sightings(items, conditions, np.zeros((len(items), 48, 48), np.uint8), np.zeros((len(items), 5)))
    rows = seen.trained(np.arange(22))
    assert (np.bincount(items[rows]) == 1 + FITTED).all()
    counts = np.bincount(conditions[rows], minlength=len(CONDITIONS))
    assert counts[0] == 22
    assert (counts[1 : len(TRAINED)] == 22 * FITTED // (len(TRAINED) - 1)).all()
    assert not counts[len(TRAINED) :].any()
    assert set(items[seen.trained(np.array([3, 5]))]) == {3, 5}


def test_a_picture_is_framed():
    picture = np.full((112, 112, 3), 90, np.uint8)
    picture[:56] = 200
    framed = frame(picture)
    assert framed.shape == (288, 288, 3)
    assert (framed[50:140, 50:230] == 200).all()
    assert (np.abs(framed[:47].astype(int) - 145) <= 1).all()

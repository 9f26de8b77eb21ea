"""The stream of faces: real people found, followed, lost and told apart, in any kind of picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portraits import crowd, frames, moved, packaged, portrait, yunet

from edge_emotion.features.crop import CANONICAL, crop_to_image
from edge_emotion.features.faces import WINDOW_PX, FaceStream
from edge_emotion.types import VideoFrame

FRAME_NS = 40_000_000


def stream(**options):
    return FaceStream(yunet(), **options)


def follow(faces, images, start=0):
    return [faces.update(VideoFrame(image, (start + i) * FRAME_NS)) for i, image in enumerate(images)]


def canvas(*people, shape=(480, 640, 3)):
    """People (picture, middle x, middle y), each cut out as an oval, on grey; the later in front."""
    image = np.full(shape, 110, np.uint8)
    for person, x, y in people:
        height, width = person.shape[:2]
        oval = np.zeros((height, width), np.uint8)
        cv2.ellipse(oval, (width // 2, height // 2), (width * 2 // 5, height // 2), 0, 0, 360, 255, -1)
        left, top = round(x - width / 2), round(y - height / 2)
        image[top : top + height, left : left + width][oval > 0] = person[oval > 0]
    return image


def head(index, height=150):
    """The head of one of the portraits, hair and chin included, ``height`` pixels high."""
    image = portrait(index)
    face = yunet().compute(image)[0]
    x, y, margin = face.x + face.width / 2, face.y + face.height / 2, 0.68 * face.height
    part = image[max(0, round(y - margin)) : round(y + margin), max(0, round(x - margin)) : round(x + margin)]
    return cv2.resize(
        part, None, fx=height / part.shape[0], fy=height / part.shape[0], interpolation=cv2.INTER_AREA
    )


@pytest.mark.parametrize("index", range(4))
def test_the_landmarks_of_a_crop_are_where_the_geometry_has_them(index):
    seen = follow(stream(), [portrait(index)] * 3)[-1]
    (face,) = seen.faces
    to_image = crop_to_image(face.box.landmarks, CANONICAL)
    points = np.array(CANONICAL.landmarks) @ to_image[:, :2].T + to_image[:, 2]
    assert points == pytest.approx(face.box.landmarks, abs=0.12 * face.box.width)
    assert (face.id, seen.primary_id, seen.flags, seen.primary) == ("a0", "a0", (), face)
    assert face.crop.shape == (48, 48)
    assert face.facts.face_px == face.box.width


def test_resting_faces_are_seen_alike_each_time():
    """A frozen picture: nothing drifts."""
    seen = follow(stream(), [portrait(0)] * 40)
    assert {seen_.faces[0].id for seen_ in seen} == {"a0"}
    for later in seen[10:]:
        assert np.array_equal(later.faces[0].crop, seen[9].faces[0].crop)


@pytest.mark.parametrize("turn_deg", [-40, -20, 20, 40])
def test_a_tilted_head_gives_an_upright_crop(turn_deg):
    upright = follow(stream(), [portrait(1)] * 8)[-1].faces[0]
    tilted = follow(stream(), [moved(portrait(1), turn_deg=turn_deg)] * 8)[-1].faces[0]
    assert tilted.facts.roll_deg - upright.facts.roll_deg == pytest.approx(turn_deg, abs=8)
    one, other = (face.crop[6:42, 6:42].ravel().astype(float) for face in (upright, tilted))
    assert np.corrcoef(one, other)[0, 1] > 0.8


def test_a_face_on_the_move_is_followed():
    """Up to half a face a frame, 6 faces a second."""
    image = cv2.copyMakeBorder(portrait(2), 96, 96, 140, 140, cv2.BORDER_REPLICATE)
    for step in (5, 25, 60):
        path = [100 * np.sin(i * step / 100) for i in range(40)]
        seen = follow(stream(), [moved(image, x=x) for x in path])
        assert all([face.id for face in seen_.faces] == ["a0"] for seen_ in seen)
        found = [seen_.faces[0].box.x for seen_ in seen]
        assert np.subtract(found, found[0]) == pytest.approx(path, abs=0.12 * seen[0].faces[0].box.width)


@pytest.mark.parametrize("speed", [5, 10])
@pytest.mark.parametrize(("front", "behind"), [(0, 1), (2, 3), (5, 6)])
def test_the_face_in_front_keeps_its_id_when_two_cross(front, behind, speed):
    near, far = head(front), head(behind, 140)
    faces = stream()
    places = {}
    for i in range(400 // speed):
        x, far_x = 120 + i * speed, 520 - i * speed
        seen = follow(faces, [canvas((far, far_x, 250), (near, x, 240))], start=i)[0]
        places = {face.id: face.box.x + face.box.width / 2 for face in seen.faces}
        if i == 3:
            assert set(places) == {"a0", "a1"}
            in_front = min(places, key=places.get)
            hidden = max(places, key=places.get)
    assert places[in_front] == pytest.approx(x, abs=25)
    # The one behind is known again, or new where it was hidden for a second; never taken for the other.
    assert len(places) == 2
    assert hidden not in places or places[hidden] == pytest.approx(far_x, abs=25)


def test_five_people_are_told_apart():
    seen = follow(stream(max_faces=8), [crowd()] * 12)
    assert {face.id for seen_ in seen for face in seen_.faces} == {
        "a0",
        "a1",
        "a2",
        "a3",
    }  # the detector's limit
    many = FaceStream(yunet(max_faces=9), max_faces=9)
    seen = follow(many, [crowd()] * 12)
    assert len(seen[0].faces) == 5
    assert {face.id for seen_ in seen for face in seen_.faces} == {"a0", "a1", "a2", "a3", "a4"}
    assert all(seen_.flags[0] == "multi_face" for seen_ in seen)
    assert all(seen_.faces[0].id == seen_.primary_id for seen_ in seen)
    assert len(follow(FaceStream(yunet(), max_faces=2), [crowd()] * 2)[-1].faces) == 2


def test_a_face_that_leaves_is_lost_and_found():
    clip = packaged("face_noface.mov")
    faces = stream()
    seen = [faces.update(VideoFrame(image, time_ns)) for time_ns, image in frames(clip, every=2)]
    shown = [bool(seen_.faces) for seen_ in seen]
    assert 0.3 < np.mean(shown) < 0.6
    assert np.count_nonzero(np.diff(shown)) == 1
    assert {face.id for seen_ in seen for face in seen_.faces} == {"a0"}
    assert all("no_face" in seen_.flags for seen_, there in zip(seen, shown, strict=True) if not there)


def test_bad_light_and_blur_are_told():
    clear = portrait(0)
    dark = (clear * 0.2).astype(np.uint8)
    blurred = cv2.GaussianBlur(clear, (0, 0), 6)
    assert [follow(stream(), [image] * 2)[-1].flags for image in (clear, dark, blurred)] == [
        (),
        ("low_light",),
        ("blur",),
    ]


def test_darkness_without_a_face_is_told():
    assert follow(stream(), [np.zeros((48, 64, 3), np.uint8)])[0].flags == ("no_face", "low_light")
    assert follow(stream(), [np.full((48, 64), 120, np.uint8)])[0].flags == ("no_face",)


@pytest.mark.parametrize("shape", [(10, 10, 3), (10, 10), (1, 1, 4), (0, 0, 3)])
def test_pictures_too_small_for_a_face(shape):
    seen = follow(stream(), [np.full(shape, 100, np.uint8)] * 3)
    assert all((seen_.faces, seen_.primary_id, seen_.primary) == ((), None, None) for seen_ in seen)


def test_size_and_colour_may_change_on_the_way():
    image = portrait(3)
    kinds = [
        image,
        cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
        np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]),
        cv2.resize(image, None, fx=10.7, fy=10.7),
        cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    ]
    assert max(kinds[3].shape) > 3840
    for kind in kinds:
        faces = follow(stream(), [kind] * 3)[-1].faces
        assert len(faces) == 1
        scale = kind.shape[1] / image.shape[1]
        assert faces[0].facts.face_px / scale == pytest.approx(125, abs=20)
    seen = follow(stream(), [kind for kind in kinds for _ in range(3)])
    assert all(len(seen_.faces) == 1 for seen_ in seen)


def scene():
    one, two = head(0), head(1, 130)
    pictures = [canvas((two, 470 - 4 * i, 250), (one, 130 + 6 * i, 230)) for i in range(12)]
    return [*pictures, *[canvas()] * 3, *pictures[:6]]


@settings(max_examples=8, deadline=None)
@given(before=st.integers(0, 21))
def test_reset_and_replay_give_the_same(before):
    pictures = scene()
    faces = stream()
    first = follow(faces, pictures[:before])
    faces.reset()
    again = follow(faces, pictures)
    fresh = follow(stream(), pictures)
    for one, other in [*zip(first, fresh, strict=False), *zip(again, fresh, strict=True)]:
        assert (one.primary_id, one.flags) == (other.primary_id, other.flags)
        assert [(face.id, face.facts) for face in one.faces] == [
            (face.id, face.facts) for face in other.faces
        ]
        assert all(np.array_equal(a.crop, b.crop) for a, b in zip(one.faces, other.faces, strict=True))


def test_a_gap_in_time_is_no_trouble():
    faces = stream()
    follow(faces, [portrait(0)] * 3)
    later = follow(faces, [portrait(0)] * 3, start=10_000)
    assert [face.id for face in later[-1].faces] == ["a1"]
    back = follow(faces, [portrait(0)] * 2)
    assert [face.id for face in back[-1].faces] == ["a2"]


class Counting:
    """A detector that counts the pixels that it is shown."""

    def __init__(self):
        self.detector, self.looks, self.searches = yunet(max_faces=9), 0, 0

    def compute(self, image):
        window = image.shape[:2] == (WINDOW_PX, WINDOW_PX)
        self.looks, self.searches = self.looks + window, self.searches + (not window)
        return self.detector.compute(image)


def test_a_crowd_at_rest_takes_turns():
    detector = Counting()
    faces = FaceStream(detector, max_faces=9)
    follow(faces, [crowd()])
    detector.looks = detector.searches = 0
    seen = follow(faces, [crowd()] * 50, start=1)
    ids = [[face.id for face in seen_.faces] for seen_ in seen]
    # The primary face in each picture, one other in turn, and everyone at each search.
    assert {len(known) for known in ids} == {2, 5}
    assert detector.searches == 5
    assert detector.looks == 5 * 5 + 45 * 2
    for face_id in ("a0", "a1", "a2", "a3", "a4"):
        shown = [i for i, known in enumerate(ids) if face_id in known]
        assert max(np.diff(shown)) <= 4


def test_who_moves_in_a_crowd_is_looked_at_more_often():
    faces, people = stream(), [head(index, 130) for index in range(4)]
    at_rest = [(people[0], 320, 200), (people[1], 90, 90), (people[2], 550, 90)]
    path = [80 + 16 * i for i in range(30)]
    seen = [follow(faces, [canvas(*at_rest, (people[3], x, 400))], start=i)[0] for i, x in enumerate(path)]
    first = {face.id: face.box.y for face in seen[0].faces}
    mover = max(first, key=first.__getitem__)
    assert seen[0].primary_id != mover
    looked = {id_: [i for i, s in enumerate(seen) if id_ in [face.id for face in s.faces]] for id_ in first}
    assert max(np.diff(looked[mover][2:])) <= 2
    assert all(len(looked[mover]) >= len(looked[id_]) for id_ in first if id_ != seen[0].primary_id)
    found = [face.box.x for seen_ in seen for face in seen_.faces if face.id == mover]
    assert np.subtract(found, found[0]) == pytest.approx([path[i] - path[0] for i in looked[mover]], abs=12)


def test_one_of_a_crowd_who_leaves_is_missed_at_once_or_when_it_is_her_turn():
    faces, people = stream(), [head(index, 130) for index in range(3)]
    places = [(320, 240), (90, 90), (550, 390)]
    with_all = canvas(*((person, *place) for person, place in zip(people, places, strict=True)))
    without = canvas(*((people[k], *places[k]) for k in (0, 1)))
    follow(faces, [with_all] * 12)
    seen = follow(faces, [without] * 40, start=12)
    left = [face.id for seen_ in seen[3:] for face in seen_.faces]
    assert len(set(left)) == 2
    assert seen[-1].flags[0] == "multi_face"
    alone = follow(faces, [canvas((people[0], 320, 240))] * 20, start=52)[-1]
    assert "multi_face" not in alone.flags
    assert [face.id for face in alone.faces] == [alone.primary_id]

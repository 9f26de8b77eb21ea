"""Identities: by motion and size, held while a face is out of sight; and which face is the primary one."""

from __future__ import annotations

import numpy as np
import pytest

from edge_emotion.features.tracking import Tracks, distinct, overlap
from edge_emotion.types import FaceBox

MS = 1_000_000
FRAME = 40 * MS


def face(x, y=240.0, side=80.0, score=0.9):
    """A face whose middle is at (x, y)."""
    return FaceBox(x - side / 2, y - side / 2, side, side, np.zeros((5, 2), np.float32), score)


def follow(tracks, pictures, start=0):
    """Ids by place in each picture, all faces welcomed."""
    seen = []
    for i, faces in enumerate(pictures):
        time_ns = (start + i) * FRAME
        for stranger in tracks.assign(faces, time_ns):
            tracks.begin(stranger, time_ns)
        seen.append({track.id: track.face.x + track.face.width / 2 for track in tracks.visible})
    return seen


def test_a_moving_face_keeps_its_id():
    seen = follow(Tracks(1.0), [[face(50 + 10 * i)] for i in range(50)])
    assert all(list(ids) == ["a0"] for ids in seen)


def test_two_who_cross_keep_their_ids_though_one_is_hidden():
    def picture(i):
        left, right = 100 + 8 * i, 500 - 8 * i
        return [face(left), face(right)] if abs(left - right) > 60 else [face(left)]

    seen = follow(Tracks(1.0), [picture(i) for i in range(50)])
    assert len(seen[25]) == 1
    assert seen[-1]["a0"] == pytest.approx(100 + 8 * 49)
    assert seen[-1]["a1"] == pytest.approx(500 - 8 * 49)
    assert {id_ for ids in seen for id_ in ids} == {"a0", "a1"}


@pytest.mark.parametrize(("gap", "expected"), [(10, "a0"), (24, "a0"), (27, "a1")])
def test_a_lost_face_keeps_its_id_for_a_second(gap, expected):
    tracks = Tracks(1.0)
    follow(tracks, [[face(200)]] * 5 + [[]] * gap)
    assert list(follow(tracks, [[face(205)]], start=5 + gap)[0]) == [expected]


def test_who_comes_back_elsewhere_or_of_another_size_is_someone_new():
    for other in (face(400), face(200, side=240)):
        tracks = Tracks(1.0)
        follow(tracks, [[face(200)]] * 5 + [[]] * 3)
        assert list(follow(tracks, [[other]], start=8)[0]) == ["a1"]


def test_who_waits_for_a_turn_stays_in_sight():
    tracks = Tracks(1.0)
    one, two = tracks.begin(face(100), 0), tracks.begin(face(400), 0)
    assert tracks.assign([face(101)], 100_000_000, {two.id}) == []
    assert [track.id for track in tracks.visible] == [one.id, two.id]
    tracks.assign([face(101)], 200_000_000)
    assert [track.id for track in tracks.visible] == [one.id]
    tracks.assign([face(101)], 300_000_000, {two.id})  # waiting does not bring back who was missed
    assert [track.id for track in tracks.visible] == [one.id]


def test_a_clock_that_goes_back_makes_everyone_new():
    tracks = Tracks(1.0)
    follow(tracks, [[face(200)]], start=100)
    assert list(follow(tracks, [[face(200)]], start=3)[0]) == ["a1"]


def test_the_same_time_twice_is_harmless():
    tracks = Tracks(1.0)
    for _ in range(3):
        for stranger in tracks.assign([face(200)], 0):
            tracks.begin(stranger, 0)
    assert [(track.id, track.speed) for track in tracks.visible] == [("a0", (0.0, 0.0))]


def test_ids_go_on_after_the_alphabet_and_begin_anew_after_a_reset():
    tracks = Tracks(1.0)
    ids = [tracks.begin(face(0), 0).id for _ in range(300)]
    assert ids[:2] + ids[10:11] + ids[259:261] == ["a0", "a1", "b0", "z9", "a10"]
    assert len(set(ids)) == 300
    tracks.reset()
    assert tracks.visible == []
    assert tracks.begin(face(0), 0).id == "a0"


def primaries(pictures):
    tracks = Tracks(1.0)
    chosen = []
    for i, faces in enumerate(pictures):
        for stranger in tracks.assign(faces, i * FRAME):
            tracks.begin(stranger, i * FRAME)
        chosen.append(tracks.choose_primary(640, 480, i * FRAME))
    return chosen


def test_the_largest_and_most_central_face_is_the_primary_one():
    assert primaries([[face(100, side=60), face(500, side=90)]]) == ["a1"]
    assert primaries([[face(20, 20), face(320, 240)]]) == ["a1"]
    assert primaries([[]]) == [None]


def test_a_little_larger_for_long_or_much_larger_for_a_moment_does_not_take_over():
    little = [[face(220, side=80), face(420, side=95)]] * 100
    moment = ([[face(220), face(420)]] * 5 + [[face(220), face(420, side=130)]] * 10) * 5
    assert set(primaries([[face(220, side=80), face(420, side=70)], *little])) == {"a0"}
    assert set(primaries(moment)) == {"a0"}


def test_much_larger_for_half_a_second_takes_over_once():
    chosen = primaries([[face(220), face(420)]] * 5 + [[face(220), face(420, side=130)]] * 30)
    assert chosen == ["a0"] * 18 + ["a1"] * 17


def test_a_primary_face_out_of_sight_is_waited_for():
    chosen = primaries([[face(300), face(500)]] * 5 + [[face(500)]] * 40)
    assert chosen[:30] == ["a0"] * 30
    assert chosen[31:] == ["a1"] * 14


def test_overlap_and_distinct_faces():
    assert overlap(face(100), face(100)) == 1.0
    assert overlap(face(100), face(140)) == pytest.approx(1 / 3)
    assert overlap(face(100), face(181)) == 0.0
    first, second, third = face(100), face(110), face(300)
    assert list(distinct([first, second, third])) == [first, third]

"""Readings from generated sound and pictures: on a grid, of the past alone, with every reason for doubt."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bundles import tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import RATE, SECOND, blocks, film, merged, picture, voice

from edge_emotion.errors import UsageError
from edge_emotion.model.bundle import Bundle, open_bundle
from edge_emotion.pipeline import EmotionPipeline, replay
from edge_emotion.pipeline.spans import Spans
from edge_emotion.types import AudioBlock, Reading, VideoFrame

MS = 1_000_000


@pytest.fixture(scope="module")
def bundle(tiny_bundle_path: Path) -> Bundle:
    return open_bundle(tiny_bundle_path)


@pytest.fixture(scope="module")
def shared(bundle: Bundle) -> EmotionPipeline:
    """One pipeline for many replays: each test resets it."""
    return EmotionPipeline(bundle)


def run(pipeline: EmotionPipeline, items: Iterable[AudioBlock | VideoFrame]) -> list[Reading]:
    pipeline.reset()
    return list(replay(pipeline, items))


def test_both_modalities_make_one_reading(shared: EmotionPipeline) -> None:
    readings = run(shared, merged(blocks(voice(4.0)), film(4.0)))
    assert [reading.time_ns for reading in readings] == [(i + 1) * 200 * MS for i in range(20)]
    assert [reading.seq for reading in readings] == list(range(1, 21))
    last = readings[-1]
    assert last.valid
    assert last.audio.used
    assert last.video.used
    assert last.audio.weight + last.video.weight == pytest.approx(1.0)
    assert last.track == "a0"
    assert last.quality == ()
    assert last.audio.facts["voiced"] == pytest.approx(0.75, abs=0.06)
    assert last.video.facts["face_px"] == pytest.approx(64.0)
    assert last.video.facts["fill"] == 1.0
    assert last.video.facts["feature_norm"] > 0
    assert np.isfinite(last.video.facts["lower_detail"])
    assert last.window_s == {"audio": 3.0, "video": 2.0}
    assert 0 < last.waited_ns < 450 * MS


def test_nothing_is_said_before_one_second_and_little_is_trusted_until_the_window_is_full(
    shared: EmotionPipeline,
) -> None:
    for items in (blocks(voice(4.0)), film(4.0)):
        readings = run(shared, items)
        assert [reading.valid for reading in readings[:8]] == [False] * 4 + [True] * 4
        sigma = [reading.sigma_arousal for reading in readings if reading.sigma_arousal is not None]
        facts = [r.audio.facts if r.audio.used else r.video.facts for r in readings if r.valid]
        until_full = sum(fact["fill"] < 1.0 for fact in facts)
        assert 4 < until_full < len(sigma)
        assert all(b < a for a, b in pairwise(sigma[:until_full]))


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=5))
def test_any_split_of_the_sound_gives_the_same_readings(shared: EmotionPipeline, sizes: list[int]) -> None:
    if sum(sizes) / len(sizes) < 200:
        sizes = [size * 50 for size in sizes]
    sound = voice(2.6)
    expected = run(shared, merged(blocks(sound, len(sound)), film(2.6)))
    assert run(shared, merged(blocks(sound, sizes), film(2.6))) == expected


def test_blocks_may_come_at_their_end(shared: EmotionPipeline) -> None:
    sound, frames = list(blocks(voice(2.0), 320, start_ns=7 * MS)), list(film(2.0, fps=30))
    by_end = sorted([*sound, *frames], key=lambda i: i.end_ns if isinstance(i, AudioBlock) else i.time_ns)
    assert run(shared, by_end) == run(shared, merged(iter(sound), iter(frames)))


def test_a_new_pipeline_and_a_reset_one_agree(bundle: Bundle, shared: EmotionPipeline) -> None:
    items = merged(blocks(voice(2.0)), film(2.0))
    assert list(replay(EmotionPipeline(bundle), items)) == run(shared, items)


def test_the_future_changes_nothing(shared: EmotionPipeline) -> None:
    """A reading is the same whatever is captured from its time on."""
    one = run(shared, merged(blocks(voice(3.0)), film(3.0)))
    other_sound = voice(3.0)
    other_sound[2 * RATE :] = 0.5
    frames = [f if f.time_ns < 2 * SECOND else VideoFrame(picture([]), f.time_ns) for f in film(3.0)]
    two = run(shared, merged(blocks(other_sound), iter(frames)))
    assert one[:10] == two[:10]
    assert one[12:] != two[12:]


def test_live_polling_skips_what_was_missed(shared: EmotionPipeline) -> None:
    shared.reset()
    assert shared.poll(5 * SECOND) is None
    seen = []
    for block in blocks(voice(3.0), 320, start_ns=7 * SECOND):
        shared.push(block)
        now_ns = block.end_ns + 15 * MS
        if now_ns < 8 * SECOND or now_ns > 9 * SECOND:  # nobody polls for a second
            reading = shared.poll(now_ns)
            if reading is not None:
                seen.append(reading)
                assert 0 <= now_ns - reading.time_ns < 200 * MS or reading.time_ns == 9 * SECOND
    assert [reading.seq for reading in seen] == list(range(1, len(seen) + 1))
    times = [(reading.time_ns - 7 * SECOND) // MS for reading in seen]
    assert times == [200, 400, 600, 800, 2000, 2200, 2400, 2600, 2800, 3000]
    assert shared.poll(10 * SECOND + 100 * MS) is None


def test_input_far_ahead_of_the_polls_is_an_overrun(shared: EmotionPipeline) -> None:
    shared.reset()
    for block in blocks(voice(14.0), 1600):
        shared.push(block)
    due_ns = shared.next_due_ns
    assert due_ns is not None
    assert due_ns > 3 * SECOND
    first = shared.poll(due_ns)
    assert first is not None
    assert "overrun" in first.quality
    assert shared.next_due_ns is not None
    second = shared.poll(shared.next_due_ns)
    assert second is not None
    assert "overrun" not in second.quality


def test_silence_noise_and_absence_have_their_flags(shared: EmotionPipeline) -> None:
    silence = run(shared, blocks(np.zeros(3 * RATE, np.float32)))
    assert not any(reading.valid for reading in silence)
    assert silence[-1].quality == ("no_face", "no_speech")
    assert silence[-1].audio.facts["voiced"] == 0.0
    assert silence[-1].audio.facts["snr_db"] is None

    loud = run(shared, blocks(np.clip(40 * voice(3.0), -1, 1)))
    assert "clipped" in loud[-1].quality

    noise = np.random.default_rng(0).normal(0, 0.2, 3 * RATE).astype(np.float32)
    assert "low_snr" in run(shared, blocks(noise))[-1].quality

    dark = run(shared, (VideoFrame(picture([]) // 4, f.time_ns) for f in film(2.0)))
    assert dark[-1].quality == ("no_face", "low_light", "no_speech")
    assert not dark[-1].valid


def test_a_lost_face_is_held_for_a_second(shared: EmotionPipeline) -> None:
    frames = [f if f.time_ns < 2 * SECOND else VideoFrame(picture([]), f.time_ns) for f in film(4.0)]
    readings = {reading.time_ns // (200 * MS): reading for reading in run(shared, frames)}
    assert readings[10].valid
    assert readings[14].valid
    assert readings[14].track == "a0"
    assert "no_face" in readings[14].quality
    assert not readings[16].valid
    assert readings[16].track is None
    assert not readings[16].video.facts


def test_stale_modalities_are_flagged(shared: EmotionPipeline) -> None:
    readings = run(shared, merged(blocks(voice(2.0)), film(6.0)))
    assert "stale_audio" not in readings[11].quality
    assert "stale_audio" in readings[13].quality
    assert not readings[13].audio.used
    assert readings[13].video.weight == 1.0
    readings = run(shared, merged(blocks(voice(6.0)), film(2.0)))
    assert "stale_video" in readings[13].quality
    assert readings[13].video.used  # the face is held
    assert not readings[16].video.used
    assert readings[16].audio.weight == 1.0


def test_two_faces_have_two_tracks(shared: EmotionPipeline) -> None:
    readings = run(shared, merged(blocks(voice(3.0)), film(3.0, faces=[(80, 64), (16, 64)])))
    last = readings[-1]
    assert "multi_face" in last.quality
    assert last.audio.used
    assert len(last.others) == 1
    other = last.others[0]
    assert other.track != last.track
    assert other.video.weight == 1.0
    assert not other.audio.used
    assert other.seq == last.seq
    assert other.quality == ("multi_face",)
    assert other.arousal is not None


def test_another_face_begins_anew(shared: EmotionPipeline) -> None:
    first, second = film(2.0, faces=[(32, 64)]), film(3.0, start_ns=4 * SECOND, faces=[(128, 64)])
    empty = (VideoFrame(picture([]), 2 * SECOND + i * 40 * MS) for i in range(50))
    readings = run(shared, merged(first, empty, second))
    tracks = [reading.track for reading in readings]
    assert tracks[9] == "a0"
    assert tracks[-1] not in (None, "a0")
    newcomer = next(i for i, track in enumerate(tracks) if track == tracks[-1])
    assert not any(reading.valid for reading in readings[newcomer : newcomer + 3])


def test_odd_time_stamps_have_a_defined_effect(shared: EmotionPipeline) -> None:
    sound = voice(3.0)
    straight = list(blocks(sound, 1600))
    expected = run(shared, straight)
    # What was heard before is dropped: a block sent twice, and one that begins too early.
    twice = [*straight[:8], straight[7], *straight[8:]]
    assert run(shared, twice) == expected
    early = AudioBlock(sound[9 * 1600 : 12 * 1600], RATE, straight[9].start_ns)
    assert run(shared, [*straight[:11], early, *straight[12:]]) == expected
    # A short gap is silence, so the times after it stay right.
    quiet = sound.copy()
    quiet[12800:14400] = 0
    cut = [b for b in straight if b.start_ns != 800 * MS]
    assert [r.arousal for r in run(shared, cut)] == [r.arousal for r in run(shared, blocks(quiet, 1600))]
    # After a long one the window begins anew.
    gap = [b for b in straight if not 1 * SECOND <= b.start_ns < 1.5 * SECOND]
    fills = [reading.audio.facts.get("fill") for reading in run(shared, gap)]
    assert fills[4] == pytest.approx(1 / 3, abs=0.02)
    assert fills[-1] == pytest.approx(0.5, abs=0.02)
    # Frames that come late are dropped, and so is what comes faster than the bundle asks for.
    frames = list(film(2.0))
    assert run(shared, [*frames[:20], frames[10], frames[19], *frames[20:]]) == run(shared, frames)


def test_not_finite_samples_are_clipped_silence(shared: EmotionPipeline) -> None:
    broken = voice(2.0)
    broken[8000:9600:7] = np.nan
    broken[12000:12010] = np.inf
    reading = run(shared, blocks(broken))[-1]
    assert reading.valid
    assert "clipped" in reading.quality
    clipped = reading.audio.facts["clipped"]
    assert clipped is not None
    assert clipped > 0.005


def test_empty_blocks_and_a_wrong_rate(shared: EmotionPipeline) -> None:
    sound = list(blocks(voice(2.0), 1600))
    empty = AudioBlock(np.zeros(0, np.float32), RATE, sound[3].start_ns)
    assert run(shared, [*sound[:3], empty, *sound[3:]]) == run(shared, sound)
    shared.reset()
    with pytest.raises(UsageError, match="44100 Hz"):
        shared.push(AudioBlock(np.zeros(10, np.float32), 44100, 0))
    shared.reset()


def test_windows_of_their_own_for_each_dimension(tmp_path: Path) -> None:
    """Arousal of 2 s and valence of 3 s windows are those of bundles with 2 s and with 3 s for both."""
    items = merged(blocks(voice(4.0)), film(4.0))

    def final(name: str, arousal: float, valence: float) -> Reading:
        window = {"window_s": {"arousal": arousal, "valence": valence}}
        path = tiny_bundle(tmp_path / name, acoustic=window, face=window)
        return list(replay(EmotionPipeline(open_bundle(path)), items))[-1]

    mixed, short, long = final("m", 2.0, 3.0), final("s", 2.0, 2.0), final("l", 3.0, 3.0)
    # Facts, and so the weights, follow the longest window.
    assert mixed.valence == pytest.approx(long.valence, abs=1e-6)
    assert mixed.arousal == pytest.approx(short.arousal, abs=0.05)
    assert short.arousal != pytest.approx(long.arousal, abs=1e-3)


def test_spans_name_the_stages(bundle: Bundle) -> None:
    ticks = iter(range(10**9))
    names: set[str] = set()

    def on_span(name: str, start_ns: int, end_ns: int) -> None:
        assert end_ns > start_ns
        names.add(name)

    pipeline = EmotionPipeline(bundle, spans=Spans(on_span, lambda: next(ticks)))
    plain = EmotionPipeline(bundle)
    items = merged(blocks(voice(1.6)), film(1.6))
    assert list(replay(pipeline, items)) == list(replay(plain, items))
    assert names == {
        "detect",
        "faces",
        "cnn",
        "descriptors",
        "voice activity",
        "functionals",
        "regress",
        "fuse",
        "smooth",
    }

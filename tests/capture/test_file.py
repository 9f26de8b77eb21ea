"""Replay of files: every time is where it was planted, in any container; bad files end in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise

import av
import numpy as np
import pytest
from clips import click, write_clip

from edge_emotion.capture.file import open_clip
from edge_emotion.errors import InputError, UsageError
from edge_emotion.types import AudioBlock, VideoFrame

DARK, LIGHT = 20, 230


def replay(path, **part):
    with open_clip(path, **part) as clip:
        items = list(clip)
    return (
        clip,
        [i for i in items if isinstance(i, AudioBlock)],
        [i for i in items if isinstance(i, VideoFrame)],
    )


def onset_s(blocks):
    """When the sound begins: first sample above a tenth of the beep's height."""
    samples = np.concatenate([block.samples for block in blocks])
    return blocks[0].start_ns / 1e9 + np.flatnonzero(np.abs(samples) > 0.05)[0] / blocks[0].sample_rate_hz


def flash_s(frames):
    return next(frame.time_ns for frame in frames if frame.image.mean() > 128) / 1e9


def flash_and_beep(path, at_s=1.0, duration_s=2.0, **extra):
    shades = [LIGHT if i == round(at_s * 25) else DARK for i in range(round(duration_s * 25))]
    return write_clip(path, shades=shades, sound=click(48_000, at_s, duration_s), **extra)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "avi"])
def test_a_beep_and_a_flash_come_together(tmp_path, kind):
    _, blocks, frames = replay(flash_and_beep(tmp_path / f"clip.{kind}"))
    assert flash_s(frames) == pytest.approx(1.0, abs=2e-3)
    assert onset_s(blocks) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("kind", ["ts", "mpg"])
def test_where_the_clock_starts_anywhere_time_counts_from_the_first_frame(tmp_path, kind):
    _, blocks, frames = replay(flash_and_beep(tmp_path / f"clip.{kind}"))
    assert min(blocks[0].start_ns, frames[0].time_ns) == pytest.approx(0, abs=1e6)
    # MPEG layer II encoders of these containers begin some milliseconds early.
    assert onset_s(blocks) - flash_s(frames) == pytest.approx(0.0, abs=5e-3)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("offset_s", [0.5, 0.123])
def test_a_planted_offset_between_sound_and_picture_is_recovered(tmp_path, kind, offset_s):
    _, blocks, frames = replay(flash_and_beep(tmp_path / f"clip.{kind}", sound_start_s=offset_s))
    assert onset_s(blocks) - flash_s(frames) == pytest.approx(offset_s, abs=3e-3)
    # An AAC encoder's run-up of 21 ms may be part of what is decoded.
    assert blocks[0].start_ns / 1e9 == pytest.approx(offset_s, abs=0.025)


def test_irregular_picture_times_are_kept(tmp_path):
    times_s = [0.0, 0.04, 0.1, 0.3, 0.32, 0.9]
    _, _, frames = replay(write_clip(tmp_path / "clip.mp4", shades=[100] * 6, times_s=times_s))
    assert [frame.time_ns / 1e9 for frame in frames] == pytest.approx(times_s, abs=1e-6)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_layout_becomes_sixteen_kilohertz_mono(tmp_path, rate, channels):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    _, blocks, _ = replay(write_clip(tmp_path / "clip.wav", sound=np.tile(tone, (channels, 1)), rate=rate))
    samples = np.concatenate([block.samples for block in blocks])
    assert {block.sample_rate_hz for block in blocks} == {16_000}
    assert samples.dtype == np.float32
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(samples) == 16_000
    assert samples[500:-500] == pytest.approx(expected[500:-500], abs=2e-3)


def test_items_come_as_from_a_live_source(tmp_path):
    clip, blocks, frames = replay(flash_and_beep(tmp_path / "clip.mkv"))
    assert (clip.has_audio, clip.has_video, clip.warnings) == (True, True, [])
    assert clip.duration_s == pytest.approx(2.0, abs=0.05)
    assert len(clip.sha256) == 64
    with open_clip(clip.path) as again:
        delivered = [item.end_ns if isinstance(item, AudioBlock) else item.time_ns for item in again]
    assert delivered == sorted(delivered)
    assert all(abs(one.end_ns - next_.start_ns) <= 1 for one, next_ in pairwise(blocks))
    assert {len(block.samples) for block in blocks[:-1]} == {320}
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].image.dtype == np.uint8


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_a_part_is_what_the_whole_has_there(tmp_path, kind):
    path = flash_and_beep(tmp_path / f"clip.{kind}", at_s=5.0, duration_s=8.0)
    _, blocks, frames = replay(path, start_s=4.5, duration_s=1.0)
    _, _, all_frames = replay(path)
    assert [frame.time_ns for frame in frames] == [
        f.time_ns for f in all_frames if 4.5 <= f.time_ns / 1e9 < 5.5
    ]
    assert blocks[0].start_ns / 1e9 == pytest.approx(4.5, abs=1e-4)
    assert blocks[-1].end_ns / 1e9 == pytest.approx(5.5, abs=1e-4)
    assert onset_s(blocks) == pytest.approx(flash_s(frames), abs=5e-3)


def test_a_picture_stored_on_its_side_stands_upright(tmp_path):
    half = np.zeros((48, 64, 3), np.uint8)
    half[:, :32] = 255  # light on the left as stored
    stored, turned = tmp_path / "stored.mp4", tmp_path / "turned.mp4"
    with av.open(str(stored), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(half, format="bgr24")))
        container.mux(stream.encode(None))
    # 90 degrees clockwise to be shown, as telephones write it into the track's matrix.
    content = stored.read_bytes()
    straight = b"".join(v.to_bytes(4, "big") for v in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    clockwise = b"".join(
        v.to_bytes(4, "big") for v in (0, 1 << 16, 0, 2**32 - (1 << 16), 0, 0, 0, 0, 1 << 30)
    )
    place = content.index(straight, content.index(b"tkhd"))
    turned.write_bytes(content[:place] + clockwise + content[place + len(clockwise) :])
    _, _, frames = replay(turned)
    image = frames[0].image
    assert image.shape == (64, 48, 3)
    assert image[:28].mean() > 200 > 50 > image[36:].mean()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"Dear diary, nothing moves here.\n" * 99, "not a media file"), (None, "no such file")],
)
def test_what_is_no_clip_is_named_in_one_line(tmp_path, content, said):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said) as fault:
        open_clip(path)
    assert str(path) in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_folder_and_a_file_without_its_index_are_refused(tmp_path):
    whole = flash_and_beep(tmp_path / "whole.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut\.mp4: .*cut off before its index"):
        open_clip(cut)
    with pytest.raises(InputError, match="not a file"):
        open_clip(tmp_path)


def test_subtitles_alone_are_neither_sound_nor_picture(tmp_path):
    path = tmp_path / "talk.srt"
    path.write_text("1\n00:00:00,000 --> 00:00:02,000\nHello\n\n2\n00:00:02,000 --> 00:00:03,000\nyou\n")
    with pytest.raises(InputError, match="neither sound nor picture"):
        open_clip(path)


def test_an_empty_part_is_refused(tmp_path):
    path = flash_and_beep(tmp_path / "clip.mp4")
    for part in ({"start_s": -1.0}, {"duration_s": 0.0}):
        with pytest.raises(UsageError, match="part of the clip"):
            open_clip(path, **part)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("mp4", {"movflags": "frag_keyframe+empty_moov"}), ("mpg", {}), ("mkv", {})],
)
def test_a_file_that_breaks_off_is_read_as_far_as_it_goes(tmp_path, kind, options):
    random = np.random.default_rng(0)
    whole = write_clip(
        tmp_path / f"whole.{kind}",
        shades=random.integers(0, 255, 150),
        sound=random.normal(0, 0.1, 6 * 48_000),
        options=options,
    )
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    clip, blocks, frames = replay(cut)
    assert 2.0 < blocks[-1].end_ns / 1e9 < 5.0
    assert 40 < len(frames) < 130
    if kind != "mpg":  # a programme stream has no length to miss and no mark at its end
        assert clip.warnings


def test_a_damaged_middle_is_passed_over_with_a_warning(tmp_path):
    random = np.random.default_rng(1)
    path = write_clip(
        tmp_path / "clip.mp4", shades=random.integers(0, 255, 150), sound=random.normal(0, 0.1, 6 * 48_000)
    )
    content = bytearray(path.read_bytes())
    begin = content.index(b"mdat") + len(content) // 3
    for place in range(begin, begin + len(content) // 6, 7):
        content[place] ^= 0xA5
    path.write_bytes(content)
    clip, blocks, frames = replay(path)
    assert blocks[-1].end_ns / 1e9 == pytest.approx(6.0, abs=0.1)
    assert frames[-1].time_ns / 1e9 == pytest.approx(5.96, abs=0.05)
    assert any("damaged" in warning for warning in clip.warnings)


def test_one_modality_is_enough(tmp_path):
    silent, _, frames = replay(write_clip(tmp_path / "silent.mp4", shades=[100] * 10))
    blind, blocks, _ = replay(write_clip(tmp_path / "blind.wav", sound=click(16_000, 0.1, 0.5), rate=16_000))
    assert (silent.has_audio, len(frames)) == (False, 10)
    assert silent.warnings == ["there is no sound in it"]
    assert (blind.has_video, blocks[-1].end_ns) == (False, 500_000_000)
    assert blind.warnings == ["there is no moving picture in it"]


@pytest.mark.skipif(
    not shutil.which("ffmpeg"), reason="the ffmpeg program, which attaches cover art, is not there"
)
def test_cover_art_is_not_a_moving_picture(tmp_path):
    path = tmp_path / "song.m4a"
    tone = write_clip(tmp_path / "tone.wav", sound=click(44_100, 0.2, 1.0), rate=44_100)
    art = tmp_path / "art.png"
    with av.open(str(art), "w", format="image2") as still:
        stream = still.add_stream("png", rate=1)
        stream.width = stream.height = 32
        stream.pix_fmt = "rgb24"
        still.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(tone), "-i", str(art), "-map", "0", "-map", "1"]
    subprocess.run([*command, "-c:v", "copy", "-disposition:v", "attached_pic", str(path)], check=True)
    clip, blocks, frames = replay(path)
    assert not frames
    assert not clip.has_video
    assert onset_s(blocks) == pytest.approx(0.2, abs=3e-3)
    assert "picture: still cover art is ignored" in clip.warnings


def test_what_is_not_finite_becomes_silence_and_is_told(tmp_path):
    path = tmp_path / "clip.wav"
    samples = np.full(16_000, 0.25, np.float32)
    samples[4000:4100] = np.nan
    samples[9000] = np.inf
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    clip, blocks, _ = replay(path)
    heard = np.concatenate([block.samples for block in blocks])
    assert np.isfinite(heard).all()
    assert not heard[4000:4100].any()
    assert heard[4100] == 0.25
    assert "sound: 101 samples were not finite and count as silence" in clip.warnings


def test_missing_sound_is_silence_so_that_the_rest_stays_in_time(tmp_path):
    path = tmp_path / "clip.mkv"
    sound = click(48_000, 1.5, 2.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for begin in [*range(0, 24_000, 960), *range(48_000, 96_000, 960)]:
            part = (sound[None, begin : begin + 960] * 32_767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48_000, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip, blocks, _ = replay(path)
    assert onset_s(blocks) == pytest.approx(1.5, abs=2e-3)
    assert blocks[-1].end_ns / 1e9 == pytest.approx(2.0, abs=2e-3)
    assert "sound: 0.50 s are missing in 1 place from 0.5 s on" in clip.warnings


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")  # noqa: PTH112
def test_decoding_starts_no_threads(tmp_path):
    path = flash_and_beep(tmp_path / "clip.mp4", size=(640, 480))
    replay(path)
    before = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    with open_clip(path) as clip:
        items = iter(clip)
        for _ in range(60):
            next(items)
        assert len(os.listdir("/proc/self/task")) == before  # noqa: PTH208


PEAK = """
import re, sys
from pathlib import Path
from edge_emotion.capture.file import open_clip
with open_clip(sys.argv[1]) as clip:
    count = sum(1 for _ in clip)
print(count, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the peak of memory is read in /proc")  # noqa: PTH112
def test_memory_does_not_grow_with_the_clip(tmp_path):
    random = np.random.default_rng(2)
    peaks_mb = []
    for minutes in (1, 10):
        path = write_clip(
            tmp_path / f"{minutes}.mp4",
            shades=random.integers(0, 255, minutes * 600),
            sound=random.normal(0, 0.1, minutes * 60 * 16_000).astype(np.float32),
            rate=16_000,
            fps=10,
        )
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
        )
        count, peak_kb = map(int, done.stdout.split())
        assert count >= minutes * 3600
        peaks_mb.append(peak_kb / 1024)
    assert peaks_mb[1] - peaks_mb[0] < 20


@pytest.mark.parametrize("channels", [7, 8, 16])
def test_any_number_of_planes(tmp_path, channels):
    """Eight and more channels in planes of their own, as AAC 7.1 and Opus have them."""
    path = tmp_path / "round.mkv"
    layout = {7: "6.1", 8: "7.1", 16: "hexadecagonal"}[channels]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("wavpack", rate=16_000, layout=layout)
        stream.format = "fltp"
        for begin in range(0, 16_000, 1000):
            tone = 0.4 * np.sin(2 * np.pi * 200 * np.arange(begin, begin + 1000) / 16_000)
            packed = np.repeat(tone.astype(np.float32), channels)[None]
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts = 16_000, begin
            frame = av.AudioResampler(format="fltp").resample(frame)[0]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _, blocks, _ = replay(path)
    heard = np.concatenate([block.samples for block in blocks])
    assert heard == pytest.approx(0.4 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000), abs=1e-4)


def test_narrow_sound_is_told(tmp_path):
    clip, blocks, _ = replay(write_clip(tmp_path / "call.wav", sound=click(8000, 0.1, 0.5), rate=8000))
    assert onset_s(blocks) == pytest.approx(0.1, abs=2e-3)
    assert "sound: at 8000 Hz it lacks the upper part of the voice" in clip.warnings

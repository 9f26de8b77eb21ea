"""Sound from files: types of samples, channels, parts of a file, faults."""

from __future__ import annotations

import av
import numpy as np
import pytest

from edge_emotion.capture.audio import AudioFile, read_audio
from edge_emotion.errors import InputError


def write(path, samples, rate=16_000, codec="pcm_s16le", sample_format="s16", layout="mono"):
    """``samples`` (channels, n) as PyAV writes them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        packed = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format=sample_format, layout=layout)
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


@pytest.fixture
def ramp(tmp_path):
    samples = np.linspace(-32_767, 32_767, 40_000).astype(np.int16)[None]
    return write(tmp_path / "ramp.wav", samples), samples[0] / np.float32(32_767)


def test_sixteen_bits_are_read_as_the_reference_reads_them(ramp):
    path, expected = ramp
    samples, rate = read_audio(path)
    assert (rate, samples.dtype) == (16_000, np.float32)
    assert np.array_equal(samples, expected.astype(np.float32))


@pytest.mark.parametrize(
    ("start", "duration"), [(0.0, 0.5), (1.23456, 0.7), (1.0, None), (2.4, 9.0), (0.3, 0.0)]
)
def test_a_part_is_exact_to_the_sample(ramp, start, duration):
    path, expected = ramp
    first = round(start * 16_000)
    last = len(expected) if duration is None else first + round(duration * 16_000)
    assert np.array_equal(read_audio(path, start, duration)[0], expected[first:last].astype(np.float32))


def test_a_part_after_the_end_is_empty(ramp):
    assert len(read_audio(ramp[0], 5.0)[0]) == 0


def test_channels_are_averaged(tmp_path):
    samples = np.array([[1000] * 4000, [3000] * 4000], np.int16)
    mixed, rate = read_audio(write(tmp_path / "two.wav", samples, 44_100, layout="stereo"))
    assert rate == 44_100
    assert mixed == pytest.approx(2000 / 32_767)


@pytest.mark.parametrize(
    ("codec", "sample_format", "values", "expected"),
    [
        ("pcm_u8", "u8", np.array([0, 128, 255], np.uint8), [-1.0, 0.0, 127 / 128]),
        ("pcm_s32le", "s32", np.array([-(2**31) + 1, 0, 2**30], np.int32), [-1.0, 0.0, 0.5]),
        ("pcm_f32le", "flt", np.array([-1.5, 0.0, 0.25], np.float32), [-1.5, 0.0, 0.25]),
        ("pcm_f64le", "dbl", np.array([-1.0, 0.0, 0.25]), [-1.0, 0.0, 0.25]),
    ],
)
def test_every_sample_type_has_full_scale_one(tmp_path, codec, sample_format, values, expected):
    path = write(tmp_path / "x.wav", np.tile(values, 100)[None], codec=codec, sample_format=sample_format)
    assert read_audio(path)[0][:3] == pytest.approx(expected, abs=1e-6)


def test_blocks_last_about_a_second_however_long_the_file(tmp_path):
    path = write(tmp_path / "long.flac", np.zeros((1, 160_000), np.int16), codec="flac")
    with AudioFile(path) as sound:
        lengths = [len(block) for block in sound]
    assert sum(lengths) == 160_000
    assert max(lengths) < 32_000


def test_faults_name_the_file(tmp_path, ramp):
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"no sound at all " * 50)
    picture = tmp_path / "still.avi"
    with av.open(str(picture), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(InputError, match=r"noise\.wav: not a media file"):
        read_audio(noise)
    with pytest.raises(InputError, match=r"still\.avi: there is no sound in it"):
        read_audio(picture)
    with pytest.raises(InputError, match=r"gone\.wav: no such file"):
        read_audio(tmp_path / "gone.wav")
    with pytest.raises(InputError, match=str(tmp_path)):
        read_audio(tmp_path)


def test_damage_is_a_warning_and_never_a_crash(tmp_path):
    random = np.random.default_rng(0)
    whole = write(
        tmp_path / "x.flac", random.integers(-9000, 9000, (1, 40_000)).astype(np.int16), codec="flac"
    )
    content = bytearray(whole.read_bytes())
    for place in random.integers(60, len(content), 200):
        content[place] ^= 0xFF
    broken = tmp_path / "broken.flac"
    broken.write_bytes(content)
    with AudioFile(broken) as sound:
        count = sum(map(len, sound))
        assert sound.warnings
    assert count <= 40_000

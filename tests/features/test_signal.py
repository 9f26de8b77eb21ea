"""Sound of any usual layout becomes the same mono samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_emotion.errors import UsageError
from edge_emotion.features.signal import LOUDEST, mono, silence_faults

INTEGERS = np.array([0, 1, -1, 32767, -32768], np.int16)


@pytest.mark.parametrize("order", ["<", ">"])
def test_integers_are_divided_by_32767_in_any_byte_order(order):
    samples = mono(INTEGERS.astype(np.dtype(np.int16).newbyteorder(order)))
    assert samples.dtype == np.float32
    assert samples.tolist() == (INTEGERS.astype(np.float32) / np.float32(32767)).tolist()


@pytest.mark.parametrize("kind", [np.float32, np.float64, ">f4", ">f8"])
def test_floats_keep_their_values(kind):
    assert mono(np.array([0.5, -1.0], kind)).tolist() == [0.5, -1.0]


def test_channels_are_mixed_or_chosen():
    both = np.stack([np.full(4, 0.5), np.full(4, -0.25)], axis=1)
    assert mono(both).tolist() == [0.125] * 4
    assert mono(both, channel=1).tolist() == [-0.25] * 4
    assert mono((both * 32767).astype(np.int16)).dtype == np.float32


def test_strided_and_read_only_memory_is_taken_and_left_alone():
    memory = np.arange(10, dtype=np.float32) / 10
    memory.setflags(write=False)
    samples = mono(memory[::-2])
    assert samples.flags.c_contiguous
    assert samples.tolist() == memory[::-2].tolist()


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros((3, 0)), "shape"),
        (np.zeros(3, np.int32), "int32"),
        (np.zeros(3, np.uint16), "uint16"),
        (np.zeros(3, complex), "complex128"),
    ],
)
def test_other_sound_is_refused_with_the_remedy(sound, message):
    with pytest.raises(UsageError, match=message):
        mono(sound)


@pytest.mark.parametrize("channel", [-1, 2])
def test_a_channel_that_is_not_there(channel):
    with pytest.raises(UsageError, match="no channel"):
        mono(np.zeros((3, 2)), channel=channel)


def test_the_only_channel_is_0():
    assert mono(np.ones(3), channel=0).tolist() == [1, 1, 1]
    with pytest.raises(UsageError, match="the sound has 1"):
        mono(np.ones(3), channel=1)


def test_sound_that_is_right_already_is_not_copied():
    sound = np.ones(3, np.float32)
    assert mono(sound) is sound


@given(st.lists(st.floats(width=32), max_size=20))
def test_faults_are_silent_and_counted(values):
    samples = np.array(values, np.float32)
    clean, faults = silence_faults(samples)
    assert faults == np.count_nonzero(~np.isfinite(samples))
    assert np.abs(clean).max(initial=0) <= LOUDEST
    fine = np.abs(samples) <= LOUDEST
    assert np.array_equal(clean[fine], samples[fine])
    assert not clean[~np.isfinite(samples)].any()

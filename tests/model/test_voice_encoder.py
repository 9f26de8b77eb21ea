"""The voice encoder: bands against a naive twin, the graph against PyTorch, state against any split."""

from collections.abc import Iterator

import numpy as np
import pytest
from bundles import voice_encoder_weights
from edge_emotion_export.conversion import voice_encoder as conversion
from edge_emotion_export.conversion.voice_encoder import (
    describe,
    encoder_graph,
    hold_parity,
    shrink,
    voice_encoder_graph,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import voice

from edge_emotion.errors import EdgeEmotionError
from edge_emotion.kernels.mel40 import BANDS, mel_bands, mel_plan
from edge_emotion.model.backend import Backend, open_backend
from edge_emotion.model.voice_encoder import VoiceEncoder


def naive_mel_bands(power: np.ndarray, fft_size: int, rate: int) -> np.ndarray:
    """Triangles drawn bin by bin from the definition of Slaney's scale."""

    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(rate / 2000) / np.log(6.4)
    edges = [hertz(top * k / (BANDS + 1)) for k in range(BANDS + 2)]
    out = np.zeros((len(power), BANDS))
    for band in range(BANDS):
        low, centre, high = edges[band : band + 3]
        for i in range(power.shape[1]):
            f = i * rate / fft_size
            height = (f - low) / (centre - low) if f <= centre else (high - f) / (high - centre)
            out[:, band] += max(height, 0.0) * 2 / (high - low) * power[:, i]
    return out


@pytest.fixture(scope="module")
def network():
    return open_backend(encoder_graph(voice_encoder_weights()).SerializeToString())


def make_sound(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.05 * rng.normal(size=int(16000 * seconds))).astype(np.float32)


def test_bands_match_the_naive_twin():
    power = np.random.default_rng(0).uniform(size=(3, 201))
    out = np.empty((3, BANDS), np.float32)
    mel_bands(power, mel_plan(400, 16000), out)
    np.testing.assert_allclose(out, naive_mel_bands(power, 400, 16000), rtol=1e-6)


def test_a_tone_lies_in_the_band_around_it():
    power = np.zeros((1, 201))
    power[0, 25] = 1.0  # 1 kHz
    out = np.empty((1, BANDS), np.float32)
    mel_bands(power, mel_plan(400, 16000), out)
    # 15 mel of 45.25 in 41 steps: between the centres of bands 12 and 13
    assert set(np.flatnonzero(out[0])) == {12, 13}


def test_graph_is_the_lstm():
    torch = pytest.importorskip("torch")
    weights = voice_encoder_weights(3)
    lstm = torch.nn.LSTM(40, 256, 2, batch_first=True)
    lstm.load_state_dict({name[5:]: torch.tensor(value) for name, value in weights.items()})
    mel = np.abs(np.random.default_rng(1).normal(size=(1, 20, 40))).astype(np.float32)
    expected = lstm(torch.tensor(mel))[0].detach().numpy()
    backend = open_backend(encoder_graph(weights).SerializeToString())
    state = {name: np.zeros((2, 1, 256), np.float32) for name in ("hidden", "cell")}
    parts = []
    for begin in range(0, 20, 5):
        outputs = backend.compute({"mel": mel[:, begin : begin + 5], **state})
        state = {name: outputs[f"next_{name}"] for name in state}
        parts.append(outputs["frames"])
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, atol=2e-6)


def test_stored_short_it_is_close_and_a_quarter():
    model = encoder_graph(voice_encoder_weights())
    small = shrink(model)
    assert small.ByteSize() < 0.28 * model.ByteSize()
    sound = make_sound(2.0)
    whole, stored = (
        describe(VoiceEncoder(open_backend(each.SerializeToString())), sound) for each in (model, small)
    )
    np.testing.assert_allclose(stored, whole, atol=0.01)


def test_what_is_stored_short_is_computed_in_float():
    ops = {node.op_type for node in shrink(encoder_graph(voice_encoder_weights())).graph.node}
    assert ops == {"Cast", "Mul", "Transpose", "Split", "LSTM", "Squeeze", "Concat"}


def test_level_does_not_matter_below_the_target(network):
    loud, quiet = VoiceEncoder(network), VoiceEncoder(network)
    sound = make_sound() * 0.3
    loud.push(sound)
    quiet.push(sound * np.float32(0.25))
    np.testing.assert_allclose(loud.compute(), quiet.compute(), atol=1e-4)


@pytest.mark.parametrize("gain_db", [-24, -40])
def test_what_is_a_pause_does_not_hang_on_the_gain(network, gain_db):
    sound = 0.3 * voice(3.0)
    sound[16_000:20_000] *= 10 ** (-30 / 20)
    plain, quiet = VoiceEncoder(network), VoiceEncoder(network)
    plain.push(sound)
    quiet.push(sound * np.float32(10 ** (gain_db / 20)))
    np.testing.assert_allclose(quiet.compute(), plain.compute(), atol=1e-3)


def test_a_click_makes_no_pause_of_speech(network):
    sound = 0.02 * voice(3.0)
    clicked = sound.copy()
    clicked[-400:] = 1.0
    plain, disturbed = VoiceEncoder(network), VoiceEncoder(network)
    plain.push(sound)
    disturbed.push(clicked)
    np.testing.assert_allclose(disturbed.compute(), plain.compute(), atol=0.1)


def test_window_forgets_and_silence_is_no_fault(network):
    encoder = VoiceEncoder(network, window_s=0.2)
    assert encoder.compute() is None
    encoder.push(np.zeros(16000, np.float32))
    silent = encoder.compute()
    assert np.isfinite(silent).all()
    encoder.push(np.full(16000, np.nan, np.float32))
    np.testing.assert_allclose(encoder.compute(), silent, atol=1e-3)
    assert silent.shape == (VoiceEncoder.feature_count,)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 16000), max_size=8))
def test_any_split_gives_the_same_bits(cuts):
    backend = open_backend(encoder_graph(voice_encoder_weights()).SerializeToString())
    sound = make_sound()
    whole = VoiceEncoder(backend)
    whole.push(sound)
    split = VoiceEncoder(backend)
    for part in np.split(sound, sorted(cuts)):
        split.push(part)
    np.testing.assert_array_equal(split.compute(), whole.compute())
    split.reset()
    split.push(sound)
    np.testing.assert_array_equal(split.compute(), whole.compute())


def make_weather(seconds: int, seed: int = 0) -> Iterator[np.ndarray]:
    """A device's day in pieces of one second: silence, faint and loud noise, clipping, a hum, broken samples."""
    rng = np.random.default_rng(seed)
    hum = np.sin(2 * np.pi * 50 * np.arange(16000) / 16000)
    for second in range(seconds):
        kind = second // max(1, seconds // 24) % 6
        noise = rng.normal(size=16000)
        level = (0.0, 10 ** (-50 / 20), 10 ** (-30 / 20), 100.0, 0.0, 1.0)[kind]
        piece = np.clip(level * noise, -1.0, 1.0) + (kind == 4) * 0.3 * hum
        if kind == 5:
            piece[rng.integers(0, 16000, 300)] = rng.choice([np.nan, np.inf, -np.inf, 1e30], 300)
        yield piece.astype(np.float32)


def hold_over_a_day(network: Backend, seconds: int) -> None:
    tired, fresh = VoiceEncoder(network), VoiceEncoder(network)
    for piece in make_weather(seconds):
        tired.push(piece)
        assert np.isfinite(tired.compute()).all()
    # The level's memory of full scale fades within 30 s; what it leaves out as a pause is then the same.
    for piece in np.split(voice(40.0), 40):
        tired.push(piece)
        fresh.push(piece)
    np.testing.assert_allclose(tired.compute(), fresh.compute(), atol=1e-3)


def test_neither_noise_nor_clipping_nor_broken_samples_stay(network):
    hold_over_a_day(network, 120)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_whole_day_does_not_stay():
    """The published weights, at full speed; 8 to 15 minutes."""
    hold_over_a_day(open_backend(voice_encoder_graph()), 24 * 3600)


@pytest.mark.parametrize("level_db", [None, -50, -35])
def test_speech_after_quiet_is_as_speech_alone(network, level_db):
    """Its onset lets level and network begin anew: once the window holds nothing older, no bit is different."""
    rng = np.random.default_rng(0)
    before = np.zeros(160_000) if level_db is None else 10 ** (level_db / 20) * rng.normal(size=160_000)
    late, alone = VoiceEncoder(network), VoiceEncoder(network)
    late.push(before.astype(np.float32))
    for encoder in (late, alone):
        encoder.push(voice(4.0))
    np.testing.assert_array_equal(late.compute(), alone.compute())
    assert np.ptp(alone.compute()) > 0.05


def test_pauses_are_left_out(network):
    encoder = VoiceEncoder(network)
    encoder.push(make_sound(2.0))
    before = encoder.compute()
    encoder.push(np.zeros(8000, np.float32))
    after = encoder.compute()
    # only the step in which sound and silence meet
    np.testing.assert_allclose(after, before, atol=0.01)
    encoder.push(np.zeros(48_000, np.float32))
    assert not encoder.compute().any()


def test_a_graph_that_hears_something_else_is_refused(monkeypatch):
    published = encoder_graph(voice_encoder_weights())
    monkeypatch.setattr(conversion, "_published", lambda: published)
    # at many speeds, so that they differ as voices do
    times = [np.arange(24_000) * speed for speed in (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 1.8)]
    sounds = [np.interp(time, np.arange(48_000), voice(3.0)).astype(np.float32) for time in times]
    hold_parity(shrink(published).SerializeToString(), sounds)
    other = encoder_graph(voice_encoder_weights(1)).SerializeToString()
    with pytest.raises(EdgeEmotionError, match=r"not the published one: correlation .* distance"):
        hold_parity(other, sounds)

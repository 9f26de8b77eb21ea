"""The voice encoder: bands against a naive twin, the graph against PyTorch, state against any split."""

import numpy as np
import pytest
from bundles import voice_encoder_weights
from edge_emotion_export.conversion.voice_encoder import describe, encoder_graph, shrink
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_emotion.kernels.mel40 import BANDS, mel_bands, mel_plan
from edge_emotion.model.backend import open_backend
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

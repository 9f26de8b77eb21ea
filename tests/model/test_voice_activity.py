"""Voice activity: steps, context and carried state, on a tiny recurrent network built here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge_emotion.model.backend import open_backend
from edge_emotion.model.voice_activity import SileroVoiceActivity


def make_network(*, takes_rate: bool) -> bytes:
    """``stateN = 0.5 state + mean |input|``, ``output = stateN[0, 0, :1]``: the answer hangs on context and history."""
    nodes = [
        helper.make_node("Abs", ["input"], ["magnitude"]),
        helper.make_node("ReduceMean", ["magnitude"], ["level"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["state", "half"], ["decayed"]),
        helper.make_node("Add", ["decayed", "level"], ["stateN"]),
        helper.make_node("Slice", ["stateN", "begin", "end"], ["first"]),
        helper.make_node("Reshape", ["first", "shape"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, "n"]),
        helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, 1, 128]),
    ]
    if takes_rate:
        inputs.append(helper.make_tensor_value_info("sr", TensorProto.INT64, []))
    graph = helper.make_graph(
        nodes,
        "vad",
        inputs,
        [
            helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1]),
            helper.make_tensor_value_info("stateN", TensorProto.FLOAT, [2, 1, 128]),
        ],
        [
            helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
            helper.make_tensor("begin", TensorProto.INT64, [3], [0, 0, 0]),
            helper.make_tensor("end", TensorProto.INT64, [3], [1, 1, 1]),
            helper.make_tensor("shape", TensorProto.INT64, [2], [1, 1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


@pytest.fixture(params=[True, False], ids=["with rate", "without rate"])
def vad(request) -> SileroVoiceActivity:
    return SileroVoiceActivity(open_backend(make_network(takes_rate=request.param)))


def test_context_and_state_are_carried(vad):
    ones = np.ones(512, np.float32)
    found = vad.push(np.concatenate([ones, ones]))
    first = 512 / 576  # 64 samples of silence before the stream
    np.testing.assert_allclose(found, [first, 0.5 * first + 1.0], rtol=1e-6)


def test_a_step_waits_until_it_is_whole(vad):
    assert vad.push(np.ones(511, np.float32)).shape == (0,)
    assert vad.push(np.ones(1, np.float32)).shape == (1,)
    assert vad.push(np.zeros(0, np.float32)).shape == (0,)


def test_not_finite_samples_are_silence(vad):
    dirty = np.ones(512, np.float32)
    dirty[::2] = np.nan
    dirty[1] = np.inf
    assert vad.push(dirty)[0] == pytest.approx(255 / 576)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=8), seed=st.integers(0, 5))
def test_any_split_gives_the_same_bits(cuts, seed):
    signal = np.random.default_rng(seed).normal(size=3000).astype(np.float32)
    network = open_backend(make_network(takes_rate=True))
    whole = SileroVoiceActivity(network).push(signal)
    split = SileroVoiceActivity(network)
    parts = [split.push(part) for part in np.split(signal, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    split.reset()
    np.testing.assert_array_equal(split.push(signal), whole)

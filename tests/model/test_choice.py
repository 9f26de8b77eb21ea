"""A form of the face encoder is measured, chosen and remembered; what no longer holds is not used."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bundles import encoder_graph, tiny_bundle

from edge_emotion.cli import app, run
from edge_emotion.config import EncoderEngine
from edge_emotion.errors import BundleError, ConfigError
from edge_emotion.model import choice, trial
from edge_emotion.model.bundle import Bundle, open_bundle


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    forms = {
        "slow.onnx": encoder_graph(detours=600),
        "near.onnx": encoder_graph(gain=0.98),
        "wrong.onnx": encoder_graph(gain=-1.0),
        "broken.onnx": b"not a model",
    }
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "forms", encoders=forms)


@pytest.fixture
def bundle(bundle_path: Path) -> Bundle:
    return open_bundle(bundle_path)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def timing(cpu_ms: float, wall_ms: float, difference: float = 0.0, **engine: object) -> trial.Timing:
    calls = np.full(10, 1_000_000)
    fields = {"provider": "cpu"} | engine
    return trial.Timing(
        EncoderEngine.model_validate(fields),
        "x",
        (cpu_ms * calls).astype(np.int64),
        (wall_ms * calls).astype(np.int64),
        difference,
    )


def test_least_processor_time_within_the_budget_is_chosen() -> None:
    one, two = timing(9, 9), timing(12, 6, threads=2)
    int8 = timing(5, 7, 0.03, variant="int8")
    assert trial.decide([one, two, int8], 10)[0] is int8
    assert trial.decide([one, two, int8], 6.5)[0] is two
    assert trial.decide([one, two], 20)[0] is one
    best, reason = trial.decide([one, two, int8], 1)
    assert best is two
    assert "nothing keeps to 1 ms" in reason


def test_what_is_hardly_cheaper_does_not_displace_the_main_file() -> None:
    assert trial.decide([timing(5.0, 5), timing(4.9, 5, variant="int8")], 10)[0].engine.variant is None


def test_what_answers_differently_is_never_chosen() -> None:
    best, reason = trial.decide([timing(9, 9), timing(1, 1, 0.4, variant="int8")], 10)
    assert best.engine.variant is None
    assert "1 answered differently" in reason
    with pytest.raises(BundleError, match="no form of the face encoder answers"):
        trial.decide([timing(1, 1, 0.4)], 10)


def test_every_form_is_measured_and_compared_with_the_main_file(bundle: Bundle) -> None:
    asked = list(trial.engines(bundle, (1, 2), spinning=True))
    assert [str(engine) for engine in asked[:3]] == [
        "main file, 1 thread",
        "main file, 2 threads",
        "main file, 2 threads, spinning",
    ]
    assert len(asked) == 15
    timings, refused = trial.measure(bundle, [engine for engine in asked if engine.threads == 1], 0.0)
    by_name = {timing.engine.variant: timing for timing in timings}
    assert list(refused) == ["broken, 1 thread"]
    assert "cannot be loaded" in refused["broken, 1 thread"]
    assert by_name[None].difference == 0.0
    assert 0.0 < by_name["near"].difference < trial.TOLERANCE
    assert not by_name["wrong"].agrees
    assert by_name["slow"].difference < 1e-4
    assert by_name["slow"].cpu_ms > 2 * by_name[None].cpu_ms
    assert trial.decide(timings, 1000.0)[0].engine.variant in (None, "near")


def test_tflite_forms_run_on_both_interpreters_and_agree(tmp_path: Path) -> None:
    for package in ("ai_edge_litert", "tflite_runtime"):
        pytest.importorskip(package)
    pytest.importorskip("ai_edge_litert.schema_py_generated", reason="writes the models")
    from tflite_models import face_encoder

    bundle = open_bundle(tiny_bundle(tmp_path / "x", encoders={"lite.tflite": face_encoder()}))
    asked = list(trial.engines(bundle, (1,)))
    assert [str(engine) for engine in asked] == [
        "main file, 1 thread",
        "lite, 1 thread, ai-edge-litert",
        "lite, 1 thread, tflite-runtime",
    ]
    timings, refused = trial.measure(bundle, asked, 0.0)
    assert not refused
    assert [timing.ran_on for timing in timings] == [
        "onnxruntime/cpu",
        "ai-edge-litert/cpu",
        "tflite-runtime/cpu",
    ]
    assert all(timing.difference < 1e-4 for timing in timings)


def test_a_variant_named_float_is_what_others_are_compared_with(tmp_path: Path) -> None:
    bundle = open_bundle(tiny_bundle(tmp_path / "x", encoders={"onnx-float.onnx": encoder_graph(gain=-1.0)}))
    (main, reference), _ = trial.measure(bundle, list(trial.engines(bundle, (1,))), 0.0)
    assert reference.difference == 0.0
    assert not main.agrees


def test_a_choice_is_remembered_for_this_encoder_machine_and_versions(
    bundle: Bundle, tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EncoderEngine(variant="near", threads=2)
    assert choice.recall(bundle) is None
    choice.remember(bundle, engine, 20.0, "because")
    found = choice.recall(bundle)
    assert found is not None
    assert found.engine == engine
    assert "near, 2 threads" in found.line
    assert choice.recall(bundle, "cpu") is None
    assert choice.recall(open_bundle(tiny_bundle_path)) is None
    with monkeypatch.context() as other:
        other.setattr(choice, "_version", lambda package: "99.0")
        assert choice.recall(bundle) is None
    with monkeypatch.context() as other:
        other.setattr(choice, "_machine", lambda: "another board")
        assert choice.recall(bundle) is None
    assert choice.recall(bundle) is not None
    assert choice.forget(bundle)
    assert choice.recall(bundle) is None
    assert not choice.forget(bundle)


def test_a_damaged_choice_is_ignored_and_told(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    path = choice.remember(bundle, EncoderEngine(), 20.0, "because")
    for damage in ("not json", json.dumps(json.loads(path.read_text()) | {"engine": {"threads": 0}})):
        caplog.clear()
        path.write_text(damage)
        assert choice.recall(bundle) is None
        assert "ignored" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_usage_fault(bundle: Bundle, folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(ConfigError, match="STATE_DIRECTORY"):
        choice.remember(bundle, EncoderEngine(), 20.0, "because")


def test_the_command_measures_says_why_and_remembers(
    bundle_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bundle", "choose", str(bundle_path), "--seconds", "0", "--budget-ms", "1000"]
    assert run.run(app, "edge-emotion", arguments) == 0
    said = capsys.readouterr().out
    assert "answers differ" in said
    assert "least processor time" in said
    assert "not measured: broken" in said
    found = choice.recall(bundle)
    assert found is not None
    assert found.engine.variant in (None, "near")
    assert run.run(app, "edge-emotion", ["bundle", "choose", str(bundle_path), "--forget"]) == 0
    assert choice.recall(bundle) is None


def test_the_daemons_pipeline_uses_it_unless_told_otherwise(
    bundle_path: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = pytest.importorskip("firmware_bridge.engine")
    config_file = pytest.importorskip("firmware_bridge.config_file")
    opened: list[str | None] = []
    real = Bundle.file

    def file(self: Bundle, part: str, model: object, variant: str | None = None) -> Path:
        opened.append(variant)
        return real(self, part, model, variant)

    monkeypatch.setattr(Bundle, "file", file)
    choice.remember(bundle, EncoderEngine(variant="near", provider="cpu"), 20.0, "because")
    settings = config_file.parse({"purpose": "demo"})
    with caplog.at_level(logging.INFO):
        engine.open_pipeline(settings, bundle_path)
    assert "near" in opened
    assert "face encoder as chosen on this machine: near, 1 thread" in caplog.text
    opened.clear()
    engine.open_pipeline(settings.model_copy(update={"as_packed": True}), bundle_path)
    assert "near" not in opened

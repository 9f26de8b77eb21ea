"""Regressors on one protocol: frames line up with windows, networks learn, nobody left out is looked at."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from edge_emotion_export.cli import app
from edge_emotion_export.corpora.speech import find_speech
from edge_emotion_export.training import (
    speech_baseline,
    speech_comparison,
    speech_frames,
    speech_languages,
    speech_regressors,
    speech_windows,
)
from edge_emotion_export.training.speech import SpeechData
from edge_emotion_export.training.speech_comparison import (
    AVERAGES,
    REGRESSORS,
    SHIPPED,
    chosen,
    compare,
    predict_unseen,
    read_material,
    speaker_folds,
)
from edge_emotion_export.training.speech_frames import FrameReader, descriptor_statistics
from edge_emotion_export.training.speech_networks import Gru, NetworkSettings, TunedVoiceEncoder
from edge_emotion_export.training.speech_regressors import COLUMNS, KernelRidge, Material, Svr
from voices import EMOTALE_HEADER, make_voice, write_flac

from edge_emotion.cli.run import run
from edge_emotion.errors import InputError, UsageError
from edge_emotion.features.functionals import compute_descriptors

KINDS = {"A": (200.0, 0.15, "4.5", "1.5"), "S": (120.0, 0.03, "1.5", "2.0"), "N": (150.0, 0.08, "3.0", "3.0")}
FEW = NetworkSettings(epochs=12, learning_rate=1e-2, batch=16)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    lines = []
    for speaker in range(3):
        for kind, (f0_hz, rms, arousal, valence) in KINDS.items():
            name = f"DK_00{speaker}_{kind}_0.flac"
            voice = make_voice(1.3 + speaker, f0_hz=f0_hz * (1 + 0.05 * speaker), rms=rms, seed=speaker)
            write_flac(folder / "tale" / name, np.clip(voice, -1, 1))
            lines.append(f"{name},{','.join([f'{arousal},{valence},3,{kind}'] * 3)},{kind}\n")
    (folder / "tale" / "annotations.csv").write_text(EMOTALE_HEADER + "".join(lines))
    for name, f0_hz in {"03a01Wa": 200, "08a01Ta": 120}.items():
        write_flac(folder / "berlin" / f"{name}.flac", make_voice(1.5, f0_hz=f0_hz, seed=99))
    return folder


@pytest.fixture(scope="module")
def material(corpus, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("cache")
    for module in (speech_windows, speech_frames):
        patch.setattr(module, "cache_folder", lambda: folder)
    patch.setattr(speech_regressors, "ROUNDS", 3)
    recordings = [recording for part in find_speech([corpus]) for recording in part.recordings]
    yield read_material(recordings, seed=0, jobs=1, frames=True)
    patch.undo()


def test_frames_are_the_devices_own_and_lie_where_the_windows_are(material):
    voice = make_voice(4.5, seed=3)
    frames = FrameReader().compute(voice)
    np.testing.assert_array_equal(
        frames.descriptors, compute_descriptors(voice, 16000).values.astype(np.float16)
    )
    assert frames.starts[0] == 0
    assert list(frames.windows()) == [(0, 100), (0, 200), (0, 300), (100, 400), (150, 450)]
    assert 440 <= len(frames.log_mel) <= 450
    for (clip, copy), some in material.frames.items():
        rows = (material.data.windows.clip == clip) & (material.data.windows.copy == copy)
        assert rows.sum() == len(list(some.windows()))


def test_statistics_are_of_the_windows_own_frames():
    frames = FrameReader().compute(make_voice(4.5, seed=3))
    rows = frames.descriptors[100:390].astype(np.float64)
    found = descriptor_statistics(frames)[3]
    np.testing.assert_allclose(found[:25], rows.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found[75:], np.diff(rows, axis=0).std(axis=0), rtol=1e-4)


def test_a_new_start_of_the_encoder_is_seen():
    quiet, loud = make_voice(2.0, rms=0.002, seed=1), make_voice(1.0, rms=0.2, seed=2)
    starts = FrameReader().compute(np.concatenate([quiet, loud])).starts
    assert any(198 <= start <= 208 for start in starts)


def test_groups_of_speakers_never_stand_on_both_sides(material):
    for count in (None, 2):
        folds = speaker_folds(material.data, count, 0)
        assert len(folds) == (count or 3)
        tested = np.sum([test for _, test in folds], axis=0)
        np.testing.assert_array_equal(tested, material.data.rated)
        for train, test in folds:
            assert not set(material.data.speakers[train]) & set(material.data.speakers[test])


@pytest.mark.parametrize(
    "trained",
    [
        KernelRidge(("functionals", "statistics")),
        Svr(("functionals",)),
        Gru(hidden=8, settings=FEW, folds=3),
        TunedVoiceEncoder(settings=NetworkSettings(epochs=2, learning_rate=1e-3, batch=16), folds=2),
    ],
    ids=lambda trained: type(trained).__name__,
)
def test_each_kind_tells_the_unseen_loud_from_the_quiet(material, trained):
    torch.set_num_threads(1)
    predictions, cost = predict_unseen(trained, material)
    trials = material.trials
    known = ~np.isnan(predictions[:, 0])
    angry = np.array([material.data.recordings[clip].intended == "anger" for clip in trials.clip])
    sad = np.array([material.data.recordings[clip].intended == "sadness" for clip in trials.clip])
    assert np.all(np.abs(predictions[known]) <= 1.0)
    assert predictions[known & angry, 0].mean() > predictions[known & sad, 0].mean()
    assert cost.parameters > 88
    assert cost.us_per_hop > 0


@pytest.mark.parametrize("trained", [KernelRidge(("functionals",)), Svr(("functionals",))])
def test_the_speaker_left_out_is_not_looked_at(material, trained):
    train, test = speaker_folds(material.data, None, 0)[0]
    rows = material.heard(test)
    windows = material.data.windows
    features = windows.features.copy()
    features[test[windows.clip]] = 1e3
    spoilt = speech_windows.Windows(**{**vars(windows), "features": features})
    other = Material(
        type(material.data)(material.data.recordings, spoilt),
        material.trials,
        material.frames,
        material.trial_frames,
    )
    first, second = (trained.fit(each, train, rows, 0).predictions for each in (material, other))
    np.testing.assert_array_equal(first, second)


def test_the_report_goes_on_from_what_was_kept(material, tmp_path, monkeypatch):
    names = [SHIPPED, "encoder, kernel ridge"]
    report = compare(material, names, keep=tmp_path)
    monkeypatch.setattr(speech_comparison, "predict_unseen", lambda *_, **__: pytest.fail("made again"))
    assert compare(material, names, keep=tmp_path) == report
    own = report[SHIPPED]["clean"]["arousal"]
    assert own["gain"] == 0.0
    assert own["gain_95"] == [0.0, 0.0]
    assert own["ccc_95"][0] <= own["ccc"] <= own["ccc_95"][1]
    json.dumps(report)
    text = speech_comparison.table(report)
    assert f"| {SHIPPED} | 3 | " in text
    assert text.count("\n") == 3


def test_a_running_baseline_knows_the_past_of_one_speaker_alone(material):
    trials, speakers = material.trials, material.data.speakers
    settings = speech_baseline.settings_of(material.data, material.data.rated, 2.0)
    rows = material.heard(material.data.rated)
    moved = speech_baseline.chained(trials, rows, speakers, settings, 0)
    plain = trials.features[rows]
    np.testing.assert_array_equal(moved.features[:, 88:], plain[:, 88:])
    assert not np.array_equal(moved.features[:, :88], plain[:, :88])
    rated = speakers[material.data.rated][0]
    own = rows[(speakers[trials.clip[rows]] == rated) & (trials.copy[rows] == 0)]
    alone = speech_baseline.chained(trials, own, speakers, settings, 0)
    np.testing.assert_array_equal(alone.features, moved.features[np.isin(rows, own)])
    # The utterance that comes last in the drawn order teaches nothing to those before it.
    drawn = np.random.default_rng(0).permutation(int(trials.clip.max()) + 1)
    last = trials.clip[own] == max(trials.clip[own], key=lambda clip: drawn[clip])
    louder = trials.features.copy()
    louder[own[last], :88] *= 3.0
    other = speech_baseline.chained(
        speech_windows.Windows(**{**vars(trials), "features": louder}), own, speakers, settings, 0
    )
    np.testing.assert_array_equal(other.features[~last], alone.features[~last])


def test_a_running_baseline_is_judged_against_none(material):
    report = speech_baseline.judge(material, times_s=(2.0,))
    assert set(report) == {"off", "2 s"}
    assert report["off"]["clean"]["arousal"]["gain"] == 0.0
    assert report["2 s"]["clean"]["arousal"]["ccc"] != report["off"]["clean"]["arousal"]["ccc"]
    assert speech_baseline.table(report).count("\n") == 3


def in_two_languages(material):
    """Every rated utterance once more, as if it were English: the same sounds, the same people."""
    data, trials = material.data, material.trials
    rated = np.flatnonzero(data.rated)
    recordings = [*data.recordings]
    recordings += [replace(data.recordings[k], name=f"{k}", language="English") for k in rated]
    place = {k: len(data.recordings) + number for number, k in enumerate(rated)}

    def again(windows):
        own = windows.take(np.flatnonzero(np.isin(windows.clip, rated)))
        moved = replace(own, clip=np.array([place[k] for k in own.clip]))
        facts = {name: np.concatenate([values, moved.facts[name]]) for name, values in windows.facts.items()}
        joined = {
            name: np.concatenate([getattr(windows, name), getattr(moved, name)])
            for name in ("features", "clip", "copy", "whole")
        }
        return speech_windows.Windows(facts=facts, **joined)

    return Material(SpeechData(recordings, again(data.windows)), again(trials), {}, {})


def test_languages_are_judged_apart(material):
    report = speech_languages.judge(in_two_languages(material))
    assert set(report["rated"]) == {"Danish", "English"}
    cells = [report["rated"][a][b] for a in report["rated"] for b in report["rated"]]
    for cell in cells:  # the same sounds under another name
        assert cell["valence"]["ccc"] == pytest.approx(cells[0]["valence"]["ccc"], abs=1e-9)
    assert cells[0]["arousal"]["n"] == 9
    assert cells[0]["arousal"]["ccc"] > 0.5
    assert set(report["unrated"]["German"]["arousal"]) == {"anger", "sadness"}
    shown = speech_languages.table(report)
    assert "| trained on | tested on Danish (9) | tested on English (9) |" in shown
    assert "German, valence: " in shown


def test_a_language_of_two_people_cannot_be_left_out(material):
    data = material.data
    few = SpeechData([replace(r, language=r.speaker) for r in data.recordings], data.windows)
    with pytest.raises(InputError, match="3"):
        speech_languages.judge(replace(material, data=few))


def test_pairs_are_of_one_speaker():
    intended = np.array(["anger", "sadness", "anger", "boredom", "fear"])
    speakers = np.array(["a", "a", "b", "b", "c"])
    values = np.array([0.5, 0.1, 0.2, 0.3, 0.0])
    above = speech_languages.above
    assert above(values, intended, speakers, speech_languages.RAISED, speech_languages.CALM) == 0.5
    assert np.isnan(above(values[4:], intended[4:], speakers[4:], ("fear",), ("boredom",)))


def test_names_of_regressors():
    assert chosen([]) == list(REGRESSORS)
    assert chosen(["GRU"]) == [SHIPPED, "GRU"]
    assert all(part in REGRESSORS for pair in AVERAGES.values() for part in pair)
    assert all(block in COLUMNS for r in REGRESSORS.values() for block in getattr(r, "blocks", ()))
    with pytest.raises(UsageError, match="no regressor 'tree'"):
        chosen(["tree"])


def test_the_command_prints_the_table(corpus, material, capsys):
    asked = ["cross-validate", "speech-regressors", "--data", str(corpus), "--jobs", "1"]
    assert run(app, "edge-emotion-export", [*asked, "--only", "functionals, kernel"]) == 0
    assert capsys.readouterr().out.startswith("| regressor | folds | clean | pink_10_db |")

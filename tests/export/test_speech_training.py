"""Speech training end to end on a tiny corpus of generated voices, and no speaker on both sides anywhere."""

import json

import numpy as np
import pytest
from bundles import tiny_bundle
from edge_emotion_export.conversion.acoustic_part import trained_on
from edge_emotion_export.conversion.bundle import read_fragment
from edge_emotion_export.conversion.voice_encoder import voice_encoder_graph
from edge_emotion_export.corpora.speech import find_speech
from edge_emotion_export.training import speech_evaluation, speech_windows
from edge_emotion_export.training.sound_conditions import CLEAN, CONDITIONS, SERIES
from edge_emotion_export.training.speech import SpeechData, fit, outer_folds, utterance_means
from edge_emotion_export.training.speech_evaluation import (
    anger_over_sadness,
    cross_validate,
    listen,
)
from edge_emotion_export.training.speech_windows import WindowReader, copy_conditions, read_windows
from voices import EMOTALE_HEADER, make_voice, write_flac

from edge_emotion.cli.run import run
from edge_emotion.features.signal_quality import AudioFacts
from edge_emotion.features.window import DescriptorWindow
from edge_emotion.model.backend import open_backend
from edge_emotion.model.bundle import open_bundle
from edge_emotion.model.voice_encoder import VoiceEncoder

KINDS = {"A": (200.0, 0.15, "4.5", "1.5"), "S": (120.0, 0.03, "1.5", "2.0"), "N": (150.0, 0.08, "3.0", "3.0")}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    kept = speech_windows.cache_folder
    folder = tmp_path_factory.mktemp("cache")
    patch.setattr(speech_windows, "cache_folder", lambda: folder)
    yield
    patch.setattr(speech_windows, "cache_folder", kept)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    lines = []
    for speaker in range(3):
        for kind, (f0_hz, rms, arousal, valence) in KINDS.items():
            for take in range(2):
                name = f"DK_00{speaker}_{kind}_{take}.flac"
                seconds = 1.3 + 1.2 * take * (speaker + 1) / 2
                voice = make_voice(
                    seconds, f0_hz=f0_hz * (1 + 0.05 * speaker), rms=rms, seed=10 * speaker + take
                )
                write_flac(folder / "tale" / name, np.clip(voice, -1, 1))
                cells = ",".join([f"{arousal},{valence},3,{kind}"] * 3)
                lines.append(f"{name},{cells},{kind}\n")
    (folder / "tale" / "annotations.csv").write_text(EMOTALE_HEADER + "".join(lines))
    for name, (f0_hz, rms) in {
        "03a01Wa": (200, 0.15),
        "08a01Ta": (120, 0.03),
        "08a01Ea": (130, 0.04),
    }.items():
        write_flac(folder / "berlin" / f"{name}.flac", make_voice(1.5, f0_hz=f0_hz, rms=rms, seed=99))
    return folder


@pytest.fixture(scope="module")
def data(corpus):
    recordings = [recording for part in find_speech([corpus]) for recording in part.recordings]
    rated = {recording.name for recording in recordings if recording.ratings}
    windows = read_windows(
        recordings,
        lambda name: copy_conditions(name, 0) if name in rated else [CLEAN],
        seed=0,
        jobs=1,
        talkers=[recording for recording in recordings if recording.name not in rated],
    )
    return SpeechData(recordings, windows)


def test_windows_are_the_devices_own():
    voice = make_voice(4.5, seed=3)
    features, facts, whole = WindowReader().read("a voice", lambda: voice)
    live = DescriptorWindow(16000, (3.0,), hop_s=0.5)
    encoder = VoiceEncoder(open_backend(voice_encoder_graph()))
    by_time = {round(result.end_s, 3): result for result in live.push(voice)}
    heard = 0
    for row, end_s in zip(features, (1.0, 2.0, 3.0, 4.0, 4.5), strict=True):
        np.testing.assert_array_equal(row[:88], by_time[end_s].values[0])
        encoder.push(voice[heard : round(end_s * 16000)])
        heard = round(end_s * 16000)
        np.testing.assert_array_equal(row[88:], encoder.compute())
    assert list(whole) == [False, False, True, True, True]
    fill = facts[:, AudioFacts._fields.index("fill")]
    np.testing.assert_allclose(fill, [1 / 3, 2 / 3, 1, 1, 1], atol=0.02)


def test_what_was_read_is_remembered_by_its_name():
    voice = make_voice(1.2, seed=4)
    first = WindowReader().read("once", lambda: voice)
    again = WindowReader().read("once", lambda: pytest.fail("made again"))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sets_of_features_are_columns(data):
    functionals, encoder = (data.windows.columns(name).features for name in ("functionals", "encoder"))
    assert functionals.shape[1] == 88
    np.testing.assert_array_equal(np.hstack([functionals, encoder]), data.windows.features)


def test_copies_of_an_utterance_share_its_place(data):
    assert set(data.windows.copy) == set(range(6))
    assert set(data.windows.clip) == set(range(len(data.recordings)))
    clean = data.windows.take(data.windows.copy == 0)
    assert np.nanmedian(clean.facts["snr_db"]) > np.nanmedian(
        data.windows.facts["snr_db"][data.windows.copy == 5]
    )


def test_unrated_speech_takes_the_mean_rating_of_its_emotion_among_the_known(data):
    names = [recording.name for recording in data.recordings]
    known = data.speakers != "emotale-000"
    targets = data.targets(known)
    assert targets[names.index("03a01Wa")] == pytest.approx([0.75, -0.75])
    assert targets[names.index("08a01Ta")] == pytest.approx([-0.75, -0.5])
    assert np.isnan(targets[names.index("08a01Ea")]).all()  # nobody was rated for disgust
    assert np.isnan(data.ratings[names.index("03a01Wa")]).all()


def test_outer_folds_leave_one_rated_speaker_out(data):
    folds = outer_folds(data)
    assert len(folds) == 3
    for speaker, train, test in folds:
        assert set(data.speakers[test]) == {speaker}
        assert speaker not in set(data.speakers[train])


def test_fit_never_looks_at_the_speaker_left_out(data):
    _, train, test = outer_folds(data)[0]
    spoilt = data.windows.features.copy()
    spoilt[test[data.windows.clip]] = 1e3
    other = SpeechData(data.recordings, speech_windows.Windows(**{**vars(data.windows), "features": spoilt}))
    first, second = fit(data, train), fit(other, train)
    rows = data.windows.features[:5]
    np.testing.assert_array_equal(first.model.predict(rows), second.model.predict(rows))
    assert first.sigma == second.sigma


def test_cross_validation_reports_every_condition(data, monkeypatch):
    kept = ("clean", "pink_10_db", "telephone")
    monkeypatch.setattr(speech_evaluation, "CONDITIONS", {name: CONDITIONS[name] for name in kept})
    monkeypatch.setattr(speech_evaluation, "SERIES", {"snr_db": {0.0: SERIES["snr_db"][0.0]}})
    rated = {r.name for r, known in zip(data.recordings, data.rated, strict=True) if known}
    asked = [*(CONDITIONS[name].condition for name in kept), SERIES["snr_db"][0.0]]
    trials = read_windows(data.recordings, lambda name: asked if name in rated else [], seed=1, jobs=1)
    report = cross_validate(data, trials, jobs=1)
    assert report["speakers"] == 3
    assert 15 <= report["arousal"]["n"] <= 18  # a generated voice may not pass for speech
    assert report["arousal"]["ccc"] > 0.8  # loudness and pitch tell the three kinds apart
    assert report["anger_over_sadness"] == 1.0
    assert {name: row["held_out"] for name, row in report["conditions"].items()} == {
        "clean": False,
        "pink_10_db": False,
        "telephone": True,
    }
    assert report["held_out"]["arousal"] == report["conditions"]["telephone"]["arousal"]["ccc"]
    assert set(report["series"]["snr_db"]["0"]) == {"arousal", "valence"}
    assert 0 <= report["interval_80"]["valence"] <= 1
    json.dumps(report)


def test_too_few_speakers_are_refused(corpus, tmp_path, capsys):
    from edge_emotion_export.cli import app

    few = tmp_path / "few"
    few.mkdir()
    lines = (corpus / "tale" / "annotations.csv").read_text().splitlines(keepends=True)
    (few / "annotations.csv").write_text(
        "".join(line for line in lines if "DK_00" not in line or "DK_000" in line)
    )
    for file in (corpus / "tale").glob("DK_000*.flac"):
        (few / file.name).write_bytes(file.read_bytes())
    assert run(app, "edge-emotion-export", ["cross-validate", "speech", "--data", str(few)]) == 65
    assert "1 speaker" in capsys.readouterr().err


def test_anger_over_sadness_pairs_one_speaker_only():
    intended = ["anger", "sadness", "anger", "sadness", "neutral"]
    speakers = ["a", "a", "b", "b", "b"]
    assert anger_over_sadness(intended, speakers, np.array([0.5, 0.1, -0.5, 0.2, 9.0])) == 0.5
    assert anger_over_sadness(["neutral"], ["a"], np.zeros(1)) is None


def test_utterance_means():
    clip, means = utterance_means(np.array([4, 2, 4]), np.array([[1.0, 0.0], [5.0, 5.0], [3.0, 2.0]]))
    assert list(clip) == [2, 4]
    np.testing.assert_allclose(means, [[5, 5], [2, 1]])


def test_functionals_alone_make_a_bundle_that_runs(corpus, tmp_path):
    from edge_emotion_export.cli import app

    out = tiny_bundle(tmp_path / "bundle")
    asked = ["--data", str(corpus), "--out", str(out), "--features", "functionals", "--landmarks", "40"]
    assert (
        run(app, "edge-emotion-export", ["train", "speech", *asked, "--no-cross-validate", "--jobs", "1"])
        == 0
    )
    assert read_fragment(out / "acoustic").voice_encoder is None
    loud, quiet = make_voice(4, f0_hz=210, rms=0.15, seed=1), make_voice(4, f0_hz=120, rms=0.03, seed=2)
    said = listen(open_bundle(out), [loud, quiet])
    assert said[0, 0] > said[1, 0]


def test_the_reference_systems_regressor_becomes_a_bundle(corpus, tmp_path):
    from edge_emotion_export.cli import app

    out = tiny_bundle(tmp_path / "bundle")
    asked = ["train", "speech", "--data", str(corpus), "--out", str(out), "--features", "functionals"]
    assert run(app, "edge-emotion-export", [*asked, "--regressor", "svr", "--jobs", "1"]) == 0
    assert run(app, "edge-emotion-export", ["bundle", str(out)]) == 0
    part = open_bundle(out).manifest.acoustic
    assert "--regressor svr" in part.training.command
    assert part.regressor.features == 88
    assert json.loads((out / "metrics.json").read_text())["arousal"]["ccc"] > 0.5
    loud, quiet = make_voice(4, f0_hz=210, rms=0.15, seed=1), make_voice(4, f0_hz=120, rms=0.03, seed=2)
    said = listen(open_bundle(out), [loud, quiet])
    assert said[0, 0] > said[1, 0]


def test_train_and_evaluate_commands(corpus, tmp_path, capsys):
    from edge_emotion_export.cli import app

    out = tiny_bundle(tmp_path / "bundle")
    arguments = [
        "train",
        "speech",
        "--data",
        str(corpus),
        "--out",
        str(out),
        "--no-cross-validate",
        "--jobs",
        "1",
    ]
    assert run(app, "edge-emotion-export", [*arguments, "--landmarks", "40"]) == 0
    assert json.loads((out / "metrics.json").read_text())["utterances"] == 21
    part = read_fragment(out / "acoustic")
    assert {source.name: source.items for source in part.training.data} == {"EmoTale": 18, "EmoDB": 3}
    languages = {source.name: source.languages for source in part.training.data}
    assert languages == {"EmoTale": {"Danish": 18}, "EmoDB": {"German": 3}}
    assert len(trained_on(out / "acoustic", part)) == 21
    opened = open_bundle(out)
    said = listen(
        opened, [make_voice(4, f0_hz=210, rms=0.15, seed=1), make_voice(4, f0_hz=120, rms=0.03, seed=2)]
    )
    assert said[0, 0] > said[1, 0]

    capsys.readouterr()
    asked = ["evaluate", "speech", "--data", str(corpus), "--bundle", str(out), "--json"]
    assert run(app, "edge-emotion-export", asked) == 65
    assert "were trained on" in capsys.readouterr().err
    assert run(app, "edge-emotion-export", [*asked, "--with-training-items"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 15 <= report["arousal"]["n"] <= 18
    assert set(report["valence"]) == {"ccc", "pearson_r", "rmse", "n"}

    picture = tmp_path / "series.png"
    noisy = [*asked, "--with-training-items", "--condition", "white_10_db", "--plot", str(picture)]
    assert run(app, "edge-emotion-export", noisy) == 0
    heard = json.loads(capsys.readouterr().out)
    assert heard["arousal"]["ccc"] != report["arousal"]["ccc"]
    assert set(heard["series"]) == set(SERIES)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run(app, "edge-emotion-export", [*asked, "--condition", "moon"]) == 2
    assert "no condition 'moon': choose from clean, white_10_db" in capsys.readouterr().err

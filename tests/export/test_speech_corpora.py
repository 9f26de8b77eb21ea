"""Speech corpora are found by their content, grouped by person, and damage is named."""

import numpy as np
import pytest
from edge_emotion_export.corpora.speech import find_speech, item_hash, rated, read_sound, with_ratings
from voices import EMOTALE_HEADER, write_flac

from edge_emotion.errors import InputError


@pytest.fixture
def tone():
    return (0.5 * np.sin(2 * np.pi * 220 * np.arange(8000) / 16000)).astype(np.float32)


@pytest.fixture
def emotale(tmp_path, tone):
    folder = tmp_path / "speech" / "some_name"
    for name in ("DK_001_A_1", "EN_001_S_2", "DK_003_H_1"):
        write_flac(folder / f"{name}.flac", tone)
    (folder / "annotations.csv").write_text(
        EMOTALE_HEADER
        + "DK_001_A_1.flac,5.0,1.0,4,A,5.0,1.5,4,A,5.0,2.0,4,A,A\n"
        + "EN_001_S_2.flac,1.0,2.0,2,S,2.0,2.0,2,S,3.0,2.0,2,S,S\n"
        + "DK_003_H_1.flac,4,5,4,H,4,5,4,H,4,5,4,H,H\n"
    )
    return folder


def test_emotale(emotale):
    (corpus,) = find_speech([emotale.parent])
    assert corpus.name == "EmoTale"
    first, second, third = corpus.recordings
    assert first.ratings["arousal"] == (1.0, 1.0, 1.0)
    assert first.ratings["valence"] == (-1.0, -0.75, -0.5)
    assert second.rating("arousal") == pytest.approx(-0.5)
    assert first.speaker == second.speaker != third.speaker
    assert (first.intended, second.intended, third.intended) == ("anger", "sadness", "happiness")


def test_emodb_beside_emotale(emotale, tone):
    write_flac(emotale.parent / "berlin" / "03a01Wb.flac", tone)
    write_flac(emotale.parent / "berlin" / "11b03Lc.flac", tone)
    corpora = find_speech([emotale.parent])
    assert {corpus.name: len(corpus.recordings) for corpus in corpora} == {"EmoTale": 3, "EmoDB": 2}
    berlin = next(corpus for corpus in corpora if corpus.name == "EmoDB")
    assert [r.speaker for r in berlin.recordings] == ["emodb-03", "emodb-11"]
    assert [r.intended for r in berlin.recordings] == ["anger", "boredom"]
    assert len(rated(corpora)) == 3


def test_where_nobody_rated_words_ratings_stand_in(emotale, tone):
    """The published means of an emotion's word, and only where no corpus has a rating."""
    berlin = emotale.parent / "berlin"
    for name in ("03a01Wb", "11b03Lc", "11b03Nc"):
        write_flac(berlin / f"{name}.flac", tone)
    both = find_speech([emotale.parent])
    assert with_ratings(both) == both
    alone = with_ratings(find_speech([berlin]))
    angry, bored, neutral = rated(alone)
    assert (angry.rating("arousal"), angry.rating("valence")) == (0.59, -0.51)
    assert (bored.rating("arousal"), bored.rating("valence")) == (-0.62, -0.65)
    assert (neutral.rating("arousal"), neutral.rating("valence")) == (0.0, 0.0)


def test_faults_are_named(emotale, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_speech([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no speech corpus here"):
        find_speech([tmp_path / "empty"])
    with pytest.raises(InputError, match="no utterance with ratings"):
        rated([])
    table = emotale / "annotations.csv"
    good = table.read_text()
    table.write_text(good.replace("DK_003_H_1.flac,4", "DK_003_H_1.flac,6"))
    with pytest.raises(InputError, match=r"annotations\.csv:4: a1_A: '6' is not a rating"):
        find_speech([emotale])
    table.write_text(good.replace("DK_003_H_1", "DK_004_H_1"))
    with pytest.raises(InputError, match=r"DK_004_H_1\.flac: no such file"):
        find_speech([emotale])


def test_sound_is_read_and_hashed_by_content(emotale, tmp_path, tone):
    samples = read_sound(emotale / "DK_001_A_1.flac")
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, tone, atol=1e-4)
    write_flac(tmp_path / "again.flac", tone)
    assert item_hash(read_sound(tmp_path / "again.flac")) == item_hash(samples)
    assert item_hash(samples[:-1]) != item_hash(samples)
    (tmp_path / "bad.flac").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad\.flac"):
        read_sound(tmp_path / "bad.flac")


def test_other_rates_are_resampled(tmp_path):
    tone48 = (0.5 * np.sin(2 * np.pi * 220 * np.arange(48000) / 48000)).astype(np.float32)
    write_flac(tmp_path / "fast.flac", tone48, rate_hz=48000)
    samples = read_sound(tmp_path / "fast.flac")
    assert len(samples) == pytest.approx(16000, abs=32)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)

"""Loaders against small trees in exactly the published layouts, oddities included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_emotion_export.corpora.avec import AVEC2018, read_avec
from edge_emotion_export.corpora.crema_d import read_crema_d
from edge_emotion_export.corpora.own import read_own
from edge_emotion_export.corpora.ravdess import read_ravdess
from edge_emotion_export.corpora.recola import in_turn, read_recola
from edge_emotion_export.corpora.records import Recording, require_speakers
from edge_emotion_export.corpora.tables import arff_features

from edge_emotion.errors import InputError
from edge_emotion.types import DIMENSIONS

RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")


def write(path: Path, text: str, newline: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.replace("\n", newline).encode())
    return path


def recola_table(rows: int, seed: int = 0) -> str:
    values = np.random.default_rng(seed).uniform(-1, 1, (rows, 6))
    lines = ["time ;" + " ;".join(RATERS)]
    lines += [f"{0.04 * i:.2f} ;" + " ;".join(f"{v:.2f}" for v in row) for i, row in enumerate(values)]
    return "\n".join(lines) + "\n"


def recola_tree(root: Path, names: tuple[str, ...] = ("P16", "P17"), rows: int = 7501) -> Path:
    for index, name in enumerate(names):
        for dimension in DIMENSIONS:
            write(
                root / "RECOLA-Annotation/emotional_behaviour" / dimension / f"{name}.csv",
                recola_table(rows - (index % 2), index),
                newline="\r\n" if index % 2 else "\n",
            )
        write(root / "RECOLA-Audio-recordings" / f"{name}.wav", "RIFF")
        write(root / "RECOLA-Video-timings" / f"{name}.csv", "frame;time in seconds\n0;0.013\n1;0.053\n")
    return root


class TestRecola:
    def test_published_layout(self, tmp_path: Path) -> None:
        first, second = read_recola(recola_tree(tmp_path))
        assert (first.name, first.speaker, first.partition) == ("P16", "P16", None)
        assert first.traces["arousal"].raters == RATERS
        assert first.traces["arousal"].values.shape == (7501, 6)
        assert first.traces["valence"].time_s[-1] == pytest.approx(300.0)
        assert first.frame_times_s is not None
        assert first.frame_times_s.tolist() == [0.013, 0.053]
        assert first.video is None, "the tree has no films"
        assert len(second.traces["arousal"].time_s) == 7500, "7500 rows with CRLF are as good as 7501"

    def test_values_are_read_as_written(self, tmp_path: Path) -> None:
        recording = next(read_recola(recola_tree(tmp_path, rows=20)))
        expected = np.random.default_rng(0).uniform(-1, 1, (20, 6)).round(2)
        np.testing.assert_allclose(recording.traces["arousal"].values, expected)

    def test_speaker_without_one_dimension(self, tmp_path: Path) -> None:
        recola_tree(tmp_path, rows=10)
        (tmp_path / "RECOLA-Annotation/emotional_behaviour/valence/P17.csv").unlink()
        with pytest.raises(InputError, match=r"valence/P17.csv: no such file"):
            list(read_recola(tmp_path))

    def test_missing_speaker_is_simply_not_there(self, tmp_path: Path) -> None:
        assert [r.name for r in read_recola(recola_tree(tmp_path, ("P16", "P19"), 10))] == ["P16", "P19"]

    @pytest.mark.parametrize(
        ("line", "cells", "reason"),
        [
            (4, "0.08 ;0.1 ;NaN ;0 ;0 ;0 ;0", "FM2: 'NaN' is not a number"),
            (3, "0.04 ;0.1 ;0.1 ;0 ;0 ;0", "6 cells, the header has 7"),
            (5, "0.12 ;0.1 ;x ;0 ;0 ;0 ;0", "FM2: 'x' is not a number"),
        ],
    )
    def test_malformed_line_is_named(self, tmp_path: Path, line: int, cells: str, reason: str) -> None:
        path = recola_tree(tmp_path, ("P16",), 10) / "RECOLA-Annotation/emotional_behaviour/arousal/P16.csv"
        lines = path.read_text().splitlines()
        lines[line - 1] = cells
        write(path, "\n".join(lines))
        with pytest.raises(InputError, match=f"P16.csv:{line}: {reason}"):
            list(read_recola(tmp_path))

    def test_wrong_root(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"not the root of RECOLA.*arousal"):
            list(read_recola(tmp_path))
        with pytest.raises(InputError, match="no such folder"):
            list(read_recola(tmp_path / "nowhere"))

    def test_partitions_in_turn(self, tmp_path: Path) -> None:
        split = in_turn(read_recola(recola_tree(tmp_path, ("P16", "P17", "P19"), 10)))
        assert {r.name: r.partition for r in split} == {"P16": "train", "P17": "dev", "P19": "train"}


ARFF_HEADS = {
    "lower, five lines": "@relation gold\n@attribute Instance_name string\n@attribute frameTime numeric\n"
    "@attribute GoldStandard numeric\n@data\n",
    "upper, nine lines": "% made by x\n@RELATION 'GOLD STANDARD'\n\n@ATTRIBUTE 'Instance_name' STRING\n"
    "@ATTRIBUTE \"frameTime\" NUMERIC\n\n@ATTRIBUTE 'GoldStandard' NUMERIC\n\n@DATA\n",
}


def avec_tree(
    root: Path, head: str, names: tuple[str, ...] = ("train_1", "dev_1"), newline: str = "\n"
) -> Path:
    for name in names:
        for dimension in DIMENSIONS:
            body = "".join(f"'{name}',{0.04 * i:g},{i / 100}\n" for i in range(5))
            write(root / "ratings_gold_standard" / dimension / f"{name}.arff", head + body + "\n", newline)
            write(root / "ratings_individual" / dimension / f"{name}.csv", recola_table(6), newline)
    for name in (*names, "test_1"):
        write(root / "recordings_audio" / f"{name}.wav", "RIFF")
        write(root / "recordings_video" / f"{name}.mp4", "ftyp")
    return root


class TestAvec:
    @pytest.mark.parametrize("head", ARFF_HEADS.values(), ids=ARFF_HEADS)
    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_editions(self, tmp_path: Path, head: str, newline: str) -> None:
        train, dev, test = read_avec(avec_tree(tmp_path, head, newline=newline))
        assert [r.partition for r in (train, dev, test)] == ["train", "dev", "test"]
        trace = train.traces["arousal"]
        assert trace.gold is not None
        np.testing.assert_allclose(trace.gold, [0, 0.01, 0.02, 0.03, 0.04])
        np.testing.assert_allclose(trace.time_s, [0, 0.04, 0.08, 0.12, 0.16])
        assert trace.values.shape == (5, 6), "cut to the shorter of ratings and gold, one row apart"
        assert test.traces == {}
        assert test.audio is not None
        assert test.video == tmp_path / "recordings_video/test_1.mp4"

    def test_order_is_by_number(self, tmp_path: Path) -> None:
        names = ("dev_1", "train_10", "train_2")
        tree = avec_tree(tmp_path, ARFF_HEADS["lower, five lines"], names)
        assert [r.name for r in read_avec(tree)] == ["train_2", "train_10", "dev_1", "test_1"]

    def test_missing_partition(self, tmp_path: Path) -> None:
        tree = avec_tree(tmp_path, ARFF_HEADS["lower, five lines"], ("train_1", "train_2"))
        with pytest.raises(InputError, match="the dev partition is missing"):
            list(read_avec(tree))

    def test_gold_with_hole_is_named_with_its_line(self, tmp_path: Path) -> None:
        tree = avec_tree(tmp_path, ARFF_HEADS["lower, five lines"])
        path = tree / "ratings_gold_standard/valence/dev_1.arff"
        write(path, path.read_text().replace("0.04,0.01", "0.04,?"))
        with pytest.raises(InputError, match=r"dev_1.arff:7: GoldStandard: '\?' is not a number"):
            list(read_avec(tree))

    def test_gold_much_shorter_than_ratings(self, tmp_path: Path) -> None:
        tree = avec_tree(tmp_path, ARFF_HEADS["lower, five lines"])
        write(tree / "ratings_individual/arousal/dev_1.csv", recola_table(9))
        with pytest.raises(InputError, match="9 rows, the gold standard has 5"):
            list(read_avec(tree))

    def test_2018_layout(self, tmp_path: Path) -> None:
        body = "".join(f"train_1,{0.04 * i:g},{i / 100}\n" for i in range(5))
        for name in ("train_1", "dev_1"):
            for dimension in DIMENSIONS:
                head = ARFF_HEADS["lower, five lines"]
                write(tmp_path / "labels/gs_1" / dimension / f"{name}.arff", head + body)
                write(tmp_path / "labels/individual" / dimension / f"{name}.csv", recola_table(5))
            write(tmp_path / "recordings/audio" / f"{name}.wav", "RIFF")
        train, dev = read_avec(tmp_path, AVEC2018)
        assert train.audio == tmp_path / "recordings/audio/train_1.wav"
        assert dev.traces["valence"].raters == RATERS

    def test_feature_file_drops_what_is_no_feature(self, tmp_path: Path) -> None:
        text = (
            "@Relation x\n@Attribute NAME string\n@attribute 'F0 mean' numeric\n@attribute FrameTime numeric\n"
            "@attribute b real\n@attribute Class {a,b}\n@Data\n'train_1',1.5,0.00,?,a\n\n'train_1',?,0.04,2,b\n"
        )
        names, values = arff_features(write(tmp_path / "a.arff", text, "\r\n"))
        assert names == ("F0 mean", "b")
        np.testing.assert_array_equal(values, [[1.5, np.nan], [np.nan, 2.0]])

    def test_arff_without_data(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no @data line"):
            arff_features(write(tmp_path / "a.arff", "@relation x\n@attribute a numeric\n"))


class TestCremaD:
    HEAD = '"","A","D","F","H","N","S","fileName","numResponses"\n'

    def test_votes_for_both(self, tmp_path: Path) -> None:
        write(
            tmp_path / "processedResults/tabulatedVotes.csv",
            self.HEAD
            + '"100001",0,0,0,1,10,0,"1001_IEO_NEU_XX",11\n"300001",1,0,0,2,6,0,"1001_IEO_HAP_LO",9\n',
        )
        write(tmp_path / "VideoFlash/1001_IEO_HAP_LO.flv", "FLV")
        (clip,) = read_crema_d(tmp_path)
        assert (clip.name, clip.speaker, clip.intended) == ("1001_IEO_HAP_LO", "1001", "happiness")
        assert clip.votes == {"anger": 1, "disgust": 0, "fear": 0, "happiness": 2, "neutral": 6, "sadness": 0}
        assert clip.audio is None
        assert clip.video is not None
        (heard,) = read_crema_d(tmp_path, "voice")
        assert heard.votes["neutral"] == 10

    def test_malformed(self, tmp_path: Path) -> None:
        path = tmp_path / "processedResults/tabulatedVotes.csv"
        write(path, self.HEAD + '"300001",0,0,0,?,10,0,"1001_IEO_NEU_XX",11\n')
        with pytest.raises(InputError, match=r"tabulatedVotes.csv:2: H: '\?' is not a number of votes"):
            list(read_crema_d(tmp_path))


class TestRavdess:
    def test_sound_and_picture_of_a_take_are_joined(self, tmp_path: Path) -> None:
        write(tmp_path / "Audio_Speech_Actors_01-24/Actor_12/03-01-06-01-02-01-12.wav", "RIFF")
        write(tmp_path / "Video_Speech_Actor_12/Actor_12/01-01-06-01-02-01-12.mp4", "ftyp")
        write(tmp_path / "Video_Speech_Actor_12/Actor_12/02-01-06-01-02-01-12.mp4", "ftyp")
        write(tmp_path / "Video_Song_Actor_12/Actor_12/01-02-06-01-02-01-12.mp4", "ftyp")
        (take,) = read_ravdess(tmp_path)
        assert (take.speaker, take.intended) == ("12", "fear")
        assert take.audio is not None
        assert take.audio.suffix == ".wav"
        assert take.video is not None
        assert take.video.name.startswith("01-")

    def test_wrong_root_and_name(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="not the root of RAVDESS"):
            list(read_ravdess(tmp_path))
        write(tmp_path / "a.wav", "RIFF")
        with pytest.raises(InputError, match="not a RAVDESS name"):
            list(read_ravdess(tmp_path))


class TestOwn:
    def tree(self, root: Path) -> Path:
        write(root / "a.wav", "RIFF")
        write(
            root / "recordings.csv", "name,speaker,partition,audio,video\na1,anna,train,a.wav,\nb1,bert,,,\n"
        )
        write(root / "ratings.csv", "name,rater,arousal,valence\na1,r1,0.4,-0.2\na1,r2,0.6,\n")
        write(root / "votes.csv", "name,category,count\na1,anger,7\n")
        write(root / "traces/arousal/b1.csv", "time_s,r1,r2\n0.00,0.1,0.2\n0.04,0.1,0.3\n")
        return root

    def test_documented_layout(self, tmp_path: Path) -> None:
        anna, bert = read_own(self.tree(tmp_path))
        assert anna.ratings == {"arousal": (0.4, 0.6), "valence": (-0.2,)}
        assert anna.rating("arousal") == pytest.approx(0.5)
        assert anna.votes == {"anger": 7}
        assert (anna.partition, bert.partition) == ("train", None)
        assert bert.traces["arousal"].values.tolist() == [[0.1, 0.2], [0.1, 0.3]]
        with pytest.raises(InputError, match="no valence rating"):
            bert.rating("valence")

    @pytest.mark.parametrize(
        ("file", "text", "reason"),
        [
            ("recordings.csv", "name,speaker\na1,anna\na1,anna\n", r"recordings.csv:3: 'a1' is listed twice"),
            ("recordings.csv", "name,speaker\na1,\n", r"recordings.csv:2: speaker is empty"),
            (
                "recordings.csv",
                "name,speaker,audio\na1,anna,x.wav\n",
                r"recordings.csv:2: audio: .*x.wav: no such",
            ),
            ("recordings.csv", "name,speaker,partition\na1,anna,b\n", r"recordings.csv:2: partition 'b'"),
            (
                "ratings.csv",
                "name,rater,arousal\na1,r1,4\n",
                r"ratings.csv:2: arousal 4 lies outside \[-1, 1\]",
            ),
            ("ratings.csv", "name,rater,arousal\nzz,r1,0\n", r"ratings.csv: 'zz' is not in recordings.csv"),
            ("votes.csv", "name,category,count\na1,anger,few\n", r"votes.csv:2: count: 'few'"),
            ("traces/arousal/b1.csv", "time_s,r1\n0.04,0\n0.04,0\n", "time does not increase after 0.04 s"),
        ],
    )
    def test_malformed_is_named(self, tmp_path: Path, file: str, text: str, reason: str) -> None:
        write(self.tree(tmp_path) / file, text)
        with pytest.raises(InputError, match=reason):
            list(read_own(tmp_path))


def test_one_speaker_is_refused() -> None:
    records = [Recording("a1", "anna"), Recording("a2", "anna")]
    with pytest.raises(InputError, match=r"1 speaker \(anna\): cross-validation needs 2 or more"):
        require_speakers(records, 2, "cross-validation")

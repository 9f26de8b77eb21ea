"""What is refused before anything is extracted, and what is only noted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import encoder_graph
from clips import write_clip
from edge_emotion_export.corpora.records import Recording, Traces
from edge_emotion_export.training import shards
from edge_emotion_export.training.blocks import read_labels
from edge_emotion_export.training.extraction import EncodeJob, frames, nearest
from edge_emotion_export.training.gathering import Job, gather

from edge_emotion.errors import InputError

HOP_S = 0.1


def recording(
    name: str, partition: str | None, *, seconds: float = 10.0, speaker: str | None = None
) -> Recording:
    time_s = np.arange(round(seconds / 0.04) + 1) * 0.04
    traces = {d: Traces(time_s, ("r",), np.sin(time_s)[:, None]) for d in ("arousal", "valence")}
    media = {"audio": Path(f"{name}.wav"), "video": Path(f"{name}.mp4")}
    return Recording(name, speaker or name, partition=partition, traces=traces, **media)  # type: ignore[arg-type]


def corpus() -> list[Recording]:
    return [recording(f"t{k}", "train") for k in range(3)] + [recording("d0", "dev")]


def gathered(recordings: Sequence[Recording], keep: Path) -> tuple[list[Any], list[str]]:
    """With every clip ten seconds long, whatever it is."""
    shards.write(keep / "sound.parquet", {"known": np.ones(101, bool)})

    def pretend(jobs: Sequence[Job], what: str) -> list[Path]:
        return [keep / "sound.parquet" for _ in jobs]

    return gather(recordings, pretend, bundle=None, windows_s=(1.0,), hop_s=HOP_S, keep=keep)


def test_members_carry_the_gold_standard_on_the_grid(tmp_path: Path) -> None:
    members, notes = gathered(corpus(), tmp_path)
    assert notes == []
    assert [member.partition for member in members] == ["train", "train", "train", "dev"]
    labels = read_labels(members[0], "arousal")
    assert len(labels) == 101
    np.testing.assert_allclose(labels, np.sin(np.arange(101) * HOP_S), atol=1e-3)


def test_ratings_shorter_than_the_media_are_noted(tmp_path: Path) -> None:
    _, notes = gathered([*corpus(), recording("d1", "dev", seconds=4.0)], tmp_path)
    assert notes == ["d1: ratings cover 4 of 10 s; the rest is left out"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([recording("x", None)], "x: no partition"),
        ([Recording("x", "x", audio=Path("x.wav"), partition="train")], "x: its picture is missing"),
        ([recording("d1", "dev", speaker="t0")], "speakers in both train and dev: t0"),
    ],
)
def test_what_cannot_be_split_is_refused(tmp_path: Path, more: list[Recording], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        gathered([*corpus(), *more], tmp_path)


def test_one_speaker_and_no_dev_are_refused(tmp_path: Path) -> None:
    alone = [recording(f"t{k}", "train", speaker="anna") for k in range(3)]
    with pytest.raises(InputError, match=r"1 speaker \(anna\): training needs 3 or more"):
        gathered([*alone, recording("d0", "dev")], tmp_path)
    with pytest.raises(InputError, match="nothing to judge on"):
        gathered(corpus()[:3], tmp_path)


def test_frames_meet_the_grid() -> None:
    at = nearest(np.array([0.05, 0.15, 0.24, 2.0]), 0.1)
    assert at[:4].tolist() == [0, 1, 2, 2]
    assert at[10] == 2
    assert at[14] == -1, "a frame that is older than a second says nothing of now"
    assert at[20] == 3


def test_frames_faster_than_the_device_takes_them_are_passed_over(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mp4", shades=[100] * 10)
    assert [round(time_s, 2) for time_s, _ in frames(film, None)] == [round(0.04 * k, 2) for k in range(10)]
    slow = frames(film, None, pause_s=0.9 / 12.5)
    assert [round(time_s, 2) for time_s, _ in slow] == [0.0, 0.08, 0.16, 0.24, 0.32]


def test_rows_that_show_one_picture_have_its_features(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(encoder_graph())
    crops = np.random.default_rng(0).integers(0, 256, (3, 48 * 48)).astype(np.uint8)
    frame = np.array([0, 0, -1, 1, 1, 2], np.int32)
    faces = {"crop": crops[np.maximum(frame, 0)], "present": frame >= 0, "frame": frame}
    shards.write(tmp_path / "faces.parquet", faces)
    features = shards.read(
        EncodeJob(tmp_path / "faces.parquet", tmp_path / "encoder.onnx", (127.5, 127.5), 16, tmp_path).run()
    )["features"]
    assert not features[2].any()
    np.testing.assert_array_equal(features[[0, 3]], features[[1, 4]])
    assert len(np.unique(features, axis=0)) == 4

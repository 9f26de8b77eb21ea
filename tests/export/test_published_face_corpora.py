"""FER2013, FER+, AFEW-VA, AffectNet and RAF-DB in exactly their published layouts, small and generated."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from edge_emotion_export.corpora.duplicates import without_leaks
from edge_emotion_export.corpora.faces import EXPRESSIONS, FaceCorpus, find_faces, with_affect, with_votes

from edge_emotion.errors import InputError

USAGES = ("Training", "Training", "Training", "PublicTest", "PrivateTest")
VOTES = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def patchwork(seed: int, side: int = 48) -> np.ndarray:
    """A picture unlike that of any other seed."""
    tiles = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    return cv2.resize(tiles, (side, side), interpolation=cv2.INTER_CUBIC)


def write_fer2013(folder, faces=None):
    faces = faces or [patchwork(seed) for seed in range(5)]
    lines = ["emotion,pixels,Usage"]
    for number, (face, usage) in enumerate(zip(faces, USAGES, strict=True)):
        lines.append(f"{number},{' '.join(map(str, face.ravel()))},{usage}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_fer2013new(folder):
    lines = [f"Usage,Image name,{VOTES}"]
    for number, usage in enumerate(USAGES):
        name = "" if number == 2 else f"fer{number:07d}.png"
        lines.append(f"{usage},{name},{'0,' * 9 + '10' if number == 2 else '4,0,0,1,3,2,0,0,0,0'}")
    (folder / "fer2013new.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_ferplus_folders(folder):
    for seed, name in enumerate(("FER2013Train", "FER2013Valid", "FER2013Test")):
        (folder / name).mkdir(parents=True)
        file = f"fer{seed:07d}.png"
        cv2.imwrite(str(folder / name / file), patchwork(seed))
        (folder / name / "label.csv").write_text(f'{file},"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0\n')
    return folder


def write_afew_va(folder):
    for clip in ("001", "002"):
        (folder / clip).mkdir(parents=True)
        frames = {}
        for number in range(3):
            cv2.imwrite(
                str(folder / clip / f"{number:05d}.png"), np.zeros((90, 160, 3), np.uint8) + 10 * number
            )
            corners = [[60.0 + 40 * (k % 2), 30.0 + 40 * (k % 3) / 2] for k in range(68)]
            frames[f"{number:05d}"] = {"arousal": 5.0, "valence": -3.0 + number, "landmarks": corners}
        clip_facts = {"actor": "Somebody", "frames": frames, "video_id": clip}
        (folder / clip / f"{clip}.json").write_text(json.dumps(clip_facts, indent=2))
    return folder


def write_affectnet_lists(folder):
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    rows = {
        "training.csv": [
            ("1/a.jpg", 1, 0.5, 0.25),
            ("1/b.jpg", 10, -2, -2),
            ("2/c.jpg", 6, -0.5, 0.5),
            ("2/d.jpg", 0, 0, 0),
        ],
        "validation.csv": [("2/d.jpg", 0, 0, 0), ("3/e.jpg", 7, -0.4, 0.3)],
    }
    lists, pictures = folder / "Manually_Annotated_file_lists", folder / "Manually_Annotated_Images"
    lists.mkdir(parents=True)
    for name, items in rows.items():
        lines = [f"{file},10,20,100,80,1;2;3;4,{kind},{v},{a}" for file, kind, v, a in items]
        (lists / name).write_text("\n".join([header, *lines]) + "\n")
        for file, *_ in items:
            (pictures / file).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(pictures / file), np.full((200, 200, 3), 90, np.uint8))
    return folder


def write_affectnet_sets(folder):
    for name in ("train_set", "val_set"):
        images, annotations = folder / name / "images", folder / name / "annotations"
        images.mkdir(parents=True)
        annotations.mkdir()
        for item in (0, 7):
            cv2.imwrite(str(images / f"{item}.jpg"), np.full((224, 224, 3), 90, np.uint8))
            # As published: numbers stored as text, ratings too.
            for key, value in (("exp", str(item % 8)), ("val", "-0.25"), ("aro", "0.5")):
                np.save(annotations / f"{item}_{key}.npy", np.array(value))
            np.save(annotations / f"{item}_lnd.npy", np.zeros(136))
    return folder


def write_raf_db(folder):
    labels, pictures = folder / "basic" / "EmoLabel", folder / "basic" / "Image" / "aligned"
    labels.mkdir(parents=True)
    pictures.mkdir(parents=True)
    names = [f"{part}_{number:05d}" for part in ("train", "test") for number in (1, 2, 3)]
    for seed, name in enumerate(names):
        cv2.imwrite(str(pictures / f"{name}_aligned.jpg"), patchwork(seed, 100))
    lines = [f"{name}.jpg {k + 1}" for k, name in enumerate(names)]
    (labels / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_fer2013_has_labels_and_with_the_sheet_beside_it_votes(tmp_path):
    corpus = find_faces(write_fer2013(tmp_path / "f"))[0]
    assert (corpus.name, corpus.split.tolist()) == ("fer2013", ["train"] * 3 + ["valid", "test"])
    assert [EXPRESSIONS[k] for k in corpus.expression] == ["anger", "disgust", "fear", "happiness", "sadness"]
    np.testing.assert_array_equal(corpus.images[4], patchwork(4))
    voted = with_votes(find_faces(write_fer2013new(tmp_path / "f")))
    assert voted.names == [f"fer{number:07d}.png" for number in (0, 1, 3, 4)]  # the third is no face
    assert voted.votes.tolist() == [[4, 0, 0, 1, 3, 2, 0, 0, 0, 0]] * 4
    np.testing.assert_array_equal(voted.images[2], patchwork(3))


def test_ferplus_folders_give_the_same_votes(tmp_path):
    corpus = find_faces(write_ferplus_folders(tmp_path / "f"))[0]
    assert corpus.split.tolist() == ["train", "valid", "test"]
    assert corpus.votes.tolist() == [[4, 0, 0, 1, 3, 2, 0, 0, 0, 0]] * 3
    np.testing.assert_array_equal(corpus.images[1], patchwork(1))


def test_afew_va_is_cut_to_its_faces_and_scaled(tmp_path):
    corpus = with_affect(find_faces(write_afew_va(tmp_path / "f")))
    assert len(corpus) == 6
    np.testing.assert_allclose(corpus.affect[:3], [[0.5, -0.3], [0.5, -0.2], [0.5, -0.1]])
    assert corpus.names[4] == "002/00001.png"
    assert set(corpus.subject) == {"Somebody"}
    assert corpus.images[1].shape == (60, 60, 3)  # landmarks 40 wide, a quarter of that on each side
    assert corpus.images[1].mean() == 10
    taken = corpus.take(np.array([5, 0]))
    assert (taken.images[0].mean(), len(taken.images[:1])) == (20, 1)


def test_affectnet_lists_leave_out_what_has_no_rating_and_what_both_name(tmp_path):
    corpus = find_faces(write_affectnet_lists(tmp_path / "f"))[0]
    found = dict(zip(corpus.names, zip(corpus.split, corpus.expression, strict=True), strict=True))
    assert {name: (split, EXPRESSIONS[kind]) for name, (split, kind) in found.items()} == {
        "1/a.jpg": ("train", "happiness"),
        "2/c.jpg": ("train", "anger"),
        "2/d.jpg": ("valid", "neutral"),
        "3/e.jpg": ("valid", "contempt"),
    }
    np.testing.assert_allclose(corpus.affect[corpus.names.index("1/a.jpg")], [0.25, 0.5])
    assert corpus.images[0].shape == (80, 100, 3)


def test_affectnet_sets_are_read_from_their_annotations(tmp_path):
    corpus = find_faces(write_affectnet_sets(tmp_path / "f"))[0]
    assert corpus.split.tolist() == ["train", "train", "valid", "valid"]
    assert [EXPRESSIONS[k] for k in corpus.expression[:2]] == ["neutral", "contempt"]
    np.testing.assert_allclose(corpus.affect, [[0.5, -0.25]] * 4)


def test_raf_db_numbers_its_expressions_in_its_own_way(tmp_path):
    corpus = find_faces(write_raf_db(tmp_path / "f"))[0]
    assert [EXPRESSIONS[k] for k in corpus.expression] == [
        "surprise",
        "fear",
        "disgust",
        "happiness",
        "sadness",
        "anger",
    ]
    assert corpus.split.tolist() == ["train"] * 3 + ["test"] * 3
    assert corpus.images[5].shape == (100, 100, 3)


def test_corpora_side_by_side_are_all_found(tmp_path):
    for write in (write_fer2013, write_afew_va, write_affectnet_lists, write_affectnet_sets, write_raf_db):
        write(tmp_path / write.__name__)
    names = sorted(corpus.name for corpus in find_faces(tmp_path))
    assert names == ["afew_va", "affectnet", "affectnet", "fer2013", "raf_db"]


@pytest.mark.parametrize(
    ("write", "file", "old", "new", "message"),
    [
        (write_fer2013, "fer2013.csv", "\n1,", "\n9,", "fer2013.csv: line 3: emotion is '9'"),
        (write_fer2013, "fer2013.csv", ",PublicTest", ",Public", "fer2013.csv: line 5: Usage is 'Public'"),
        (write_fer2013, "fer2013.csv", "\n2,", "\n2,256 ", "fer2013.csv: line 4: pixels are not 48x48"),
        (
            write_ferplus_folders,
            "FER2013Valid/label.csv",
            ",4,0,",
            ",x,0,",
            "FER2013Valid/label.csv: line 1: neutral is 'x'",
        ),
        (
            write_ferplus_folders,
            "FER2013Test/label.csv",
            ",0\n",
            "\n",
            "label.csv: line 1: 11 cells, expected 12",
        ),
        (write_ferplus_folders, "FER2013Test/label.csv", "fer0", "gone0", "gone0000002.png: not a picture"),
        (write_afew_va, "002/002.json", "5.0", "15.0", "002.json: line .*: frame 00000: arousal is 15.0"),
        (write_afew_va, "002/002.json", '"arousal": ', '"arousal": ,', "002.json: line 5: not JSON"),
        (write_afew_va, "002/002.json", '"landmarks"', '"points"', "002.json: line .*: landmarks are not"),
        (write_afew_va, "001/001.json", '"00001"', '"00009"', "00009.png: not a picture"),
        (
            write_affectnet_lists,
            "Manually_Annotated_file_lists/training.csv",
            ",6,-0.5",
            ",6,-1.5x",
            "training.csv: line 4: valence is '-1.5x'",
        ),
        (
            write_affectnet_lists,
            "Manually_Annotated_file_lists/validation.csv",
            ",face_x",
            ",left",
            "validation.csv: line 1: no column face_x",
        ),
        (
            write_raf_db,
            "basic/EmoLabel/list_patition_label.txt",
            "train_00002.jpg 2",
            "train_00002.jpg 8",
            "list_patition_label.txt: line 2: label is '8'",
        ),
        (
            write_raf_db,
            "basic/EmoLabel/list_patition_label.txt",
            "test_00001",
            "dev_00001",
            "line 4: expected a name",
        ),
    ],
)
def test_damage_is_named_with_its_line(tmp_path, write, file, old, new, message):
    folder = write(tmp_path / "f")
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        find_faces(folder)


def test_damage_of_annotations_and_of_a_sheet_that_does_not_fit(tmp_path):
    folder = write_affectnet_sets(tmp_path / "a")
    (folder / "val_set" / "annotations" / "7_val.npy").write_bytes(b"\x00")
    with pytest.raises(InputError, match=r"7_val\.npy: not one number from -2 to 1"):
        find_faces(folder)
    folder = write_fer2013new(write_fer2013(tmp_path / "b"))
    sheet = folder / "fer2013new.csv"
    sheet.write_text(sheet.read_text().replace("PublicTest", "PrivateTest"))
    with pytest.raises(InputError, match="line 5: Usage is 'PrivateTest'"):
        find_faces(folder)
    sheet.write_text("\n".join(sheet.read_text().splitlines()[:3]))
    with pytest.raises(InputError, match=r"2 rows, fer2013\.csv beside it has 5"):
        find_faces(folder)


def test_what_a_later_split_shows_is_not_in_an_earlier_one(tmp_path):
    faces = [patchwork(seed) for seed in range(5)]
    brighter = np.clip(faces[1] * 0.8 + 30, 0, 255).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 3, (48, 48))
    noisy = np.clip(faces[3] + noise, 0, 255).astype(np.uint8)
    # The second is in training and validation, the fourth in validation and test.
    corpus = find_faces(write_fer2013(tmp_path / "f", [faces[0], faces[1], faces[2], brighter, faces[4]]))[0]
    assert corpus.names == ["0", "2", "3", "4"]
    corpus = find_faces(write_fer2013(tmp_path / "f", [*faces[:4], noisy]))[0]
    assert corpus.names == ["0", "1", "2", "4"]
    one_split = FaceCorpus("x", "", [faces[0], faces[0]], ["a", "b"], np.array(["train", "train"]))
    assert len(without_leaks(one_split)) == 2

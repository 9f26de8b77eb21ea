import cv2
import numpy as np
import pytest
from edge_emotion_export.corpora.duplicates import near_duplicates
from edge_emotion_export.corpora.faces import EXPRESSIONS, find_faces, item_hash, with_affect, with_votes
from edge_emotion_export.corpora.votes import PROTOCOLS, distribution, label
from face_corpora import drawn_face, write_diffusionfer, write_ferplus

from edge_emotion.errors import InputError


def test_the_layout_is_found_from_the_files_alone_or_side_by_side(tmp_path):
    write_ferplus(tmp_path / "a", train=60, valid=8)
    write_diffusionfer(tmp_path / "b", count=14)
    together = find_faces(tmp_path)
    assert [corpus.name for corpus in together] == ["ferplus", "diffusionfer"]
    assert [len(corpus) for corpus in together] == [68, 14]
    assert [corpus.name for corpus in find_faces(tmp_path / "b")] == ["diffusionfer"]
    assert len(with_votes(together).only("valid")) == 8
    with pytest.raises(InputError, match="FER\\+ votes"):
        with_votes(find_faces(tmp_path / "b"))
    with pytest.raises(InputError, match="arousal and valence"):
        with_affect(find_faces(tmp_path / "a"))


def test_a_face_in_a_sheet_is_the_face_that_was_put_there(tmp_path):
    corpus = find_faces(write_ferplus(tmp_path / "a", train=60, valid=8, seed=5))[0]
    rng = np.random.default_rng(5)
    for index in range(3):
        face = drawn_face(index, rng)
        rng.integers(8)
        np.testing.assert_array_equal(corpus.images[index], face)
    assert corpus.images[55].shape == (48, 48)  # the second row of the sheet
    assert corpus.votes is not None
    assert (corpus.votes.sum(1) == 10).all()


def test_byte_order_mark_blank_lines_crlf_and_column_order_do_not_matter(tmp_path):
    folder = write_diffusionfer(tmp_path / "d", count=7)
    rows = [line.split(",") for line in (folder / "labels.csv").read_text().split()]
    text = "\r\n".join(" , ".join([row[3], row[0], row[2], row[1]]) for row in rows).replace(
        "\r\n", "\r\n\r\n", 2
    )
    plain = find_faces(folder)[0]
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    odd = find_faces(folder)[0]
    assert odd.names == plain.names
    np.testing.assert_array_equal(odd.affect, plain.affect)
    np.testing.assert_array_equal(odd.expression, plain.expression)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("valence", "pleasure", "no face corpus|no column"),
        (",3\n", ",9\n", "line .*expression"),
        ("__2.png,", "__2.png,x", "line 4: valence is 'x"),
        ("__2.png", "__none.png", "__none.png: not a picture"),
    ],
)
def test_damage_is_named_with_its_place(tmp_path, old, new, message):
    folder = write_diffusionfer(tmp_path / "d", count=7)
    text = (folder / "labels.csv").read_text()
    assert old in text
    (folder / "labels.csv").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        find_faces(folder)


def test_sheets_that_are_missing_or_too_short_are_named(tmp_path):
    folder = write_ferplus(tmp_path / "f", train=60, valid=8)
    labels = folder / "labels.csv"
    labels.write_text(labels.read_text() + "2000,train,9,0,0,0,0,0,0,0,0,0\n")
    with pytest.raises(InputError, match="sheet_01"):
        find_faces(folder)
    labels.write_text(labels.read_text().replace("\n2000,", "\n150,"))
    with pytest.raises(InputError, match="holds 100 faces"):
        find_faces(folder)
    cv2.imwrite(str(folder / "sheet_00.webp"), np.zeros((48, 100), np.uint8))
    with pytest.raises(InputError, match="expected rows of 50"):
        find_faces(folder)


def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(InputError, match="no face corpus here"):
        find_faces(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_faces(tmp_path / "none")


def test_the_hash_is_of_the_pixels():
    face = drawn_face(1, np.random.default_rng(0))
    assert item_hash(face) == item_hash(face.copy()[:, ::-1][:, ::-1])
    assert item_hash(face) != item_hash(np.ascontiguousarray(face.T))
    assert item_hash(np.zeros((2, 8), np.uint8)) != item_hash(np.zeros((4, 4), np.uint8))


# neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, not a face
VOTES = np.array(
    [
        [6, 4, 0, 0, 0, 0, 0, 0, 0, 0],  # agreed under each protocol
        [5, 1, 1, 1, 1, 1, 0, 0, 0, 0],  # half of all votes, all of what remains without single ones
        [4, 3, 3, 0, 0, 0, 0, 0, 0, 0],  # plurality only
        [5, 5, 0, 0, 0, 0, 0, 0, 0, 0],  # a tie
        [2, 0, 0, 0, 0, 0, 0, 0, 8, 0],  # unknown wins
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],  # nobody agrees
        [0, 0, 0, 0, 0, 0, 0, 4, 3, 0],  # contempt before "unknown": 4 of 7
    ],
    np.float32,
)


def test_protocols_on_hand_counted_votes():
    assert label(VOTES, "standard").tolist() == [0, 0, -1, -1, -1, -1, 7]
    assert label(VOTES, "majority").tolist() == [0, -1, -1, -1, -1, -1, 7]
    assert label(VOTES, "plurality").tolist() == [0, 0, 0, -1, -1, -1, 7]


def test_the_target_is_the_share_of_votes_for_expressions():
    shares, usable = distribution(VOTES)
    assert usable.tolist() == [True, True, True, True, False, False, True]
    np.testing.assert_allclose(shares[0, :2], [0.6, 0.4])
    np.testing.assert_allclose(shares[usable].sum(1), 1)
    assert shares[1, 0] == 1  # single votes are dropped


def test_majority_implies_standard_implies_nothing_else_wins():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(10, [0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.03, 0.02], 2000).astype(
        np.float32
    )
    labels = {name: label(votes, name) for name in PROTOCOLS}
    strict = labels["majority"] >= 0
    assert 100 < strict.sum() < 1900
    for name in ("standard", "plurality"):
        np.testing.assert_array_equal(labels[name][strict], labels["majority"][strict])
    assert set(labels["standard"]) <= {-1, *range(len(EXPRESSIONS))}


def test_near_duplicates_share_a_group_through_others():
    rng = np.random.default_rng(3)
    pictures = [cv2.resize(rng.integers(0, 256, (6, 6), np.uint8), (48, 48)) for _ in range(5)]
    brighter = np.clip(pictures[0] * 0.7 + 60, 0, 255).astype(np.uint8)
    noisy = np.clip(brighter + rng.normal(0, 6, brighter.shape), 0, 255).astype(np.uint8)
    groups = near_duplicates(np.stack([*pictures, brighter, noisy]))
    assert groups[0] == groups[5] == groups[6]
    assert len(set(groups.tolist())) == 5

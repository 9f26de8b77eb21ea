"""A bundle is opened whole and unchanged, or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bundles import acoustic_part, tiny_bundle
from edge_emotion_export.conversion.bundle import assemble, describe_data, replace_part, write_part
from pydantic import ValidationError

from edge_emotion.errors import BundleError
from edge_emotion.features.names import FUNCTIONAL_NAMES
from edge_emotion.model.bundle import open_bundle
from edge_emotion.model.manifest import VOICE_ENCODER_NAMES, AcousticPart, canonical_digest


@pytest.fixture
def bundle(tiny_bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle_path, tmp_path / "copy"))


def edit(bundle: Path, change) -> None:
    """Change the manifest and make its own digest right again."""
    data = json.loads((bundle / "manifest.json").read_text())
    change(data)
    data["sha256"] = canonical_digest(data)
    (bundle / "manifest.json").write_text(json.dumps(data))


def refused(bundle: Path, *words: str) -> None:
    with pytest.raises(BundleError) as caught:
        open_bundle(bundle)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 65
    for word in words:
        assert word in message


def test_opens_and_names_its_files(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.manifest.id == "tiny-1"
    assert opened.file("face", opened.manifest.face.encoder) == bundle / "face" / "encoder.onnx"
    with pytest.raises(BundleError, match="no variant 'int8'"):
        opened.file("face", opened.manifest.face.encoder, "int8")


def test_every_changed_byte_is_found(bundle: Path) -> None:
    names = json.loads((bundle / "manifest.json").read_text())["files"]
    assert "acoustic/part.json" in names
    for name in names:
        file = bundle / name
        content = file.read_bytes()
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        refused(bundle, name)
        file.write_bytes(content)
    open_bundle(bundle)


def test_a_changed_figure_in_the_manifest_is_found(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(
        text.replace('"tiny_loso_ccc_arousal": 0.5', '"tiny_loso_ccc_arousal": 0.9')
    )
    refused(bundle, "manifest.json", "sha256")


def test_unknown_schema_names_the_remedy(bundle: Path) -> None:
    edit(bundle, lambda data: data.update(schema="edge_emotion.bundle/2"))
    refused(bundle, "edge_emotion.bundle/2", "upgrade")


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/passwd", "a/../../b", "..\\outside"])
def test_paths_do_not_leave_the_folder(bundle: Path, name: str) -> None:
    edit(bundle, lambda data: data["face"]["encoder"].update(file=name))
    refused(bundle, "face.encoder.file", "leaves the bundle")


def test_a_link_that_leads_outside_is_refused(bundle: Path, tmp_path: Path) -> None:
    file = bundle / "face" / "encoder.onnx"
    file.rename(tmp_path / "outside.onnx")
    file.symlink_to(tmp_path / "outside.onnx")
    refused(bundle, "face/encoder.onnx", "outside")


def test_missing_things_are_named(bundle: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such bundle")
    (bundle / "face" / "encoder.onnx").unlink()
    refused(bundle, "face/encoder.onnx", "No such file")
    (bundle / "manifest.json").write_text("{")
    refused(bundle, "not JSON")
    (bundle / "manifest.json").unlink()
    refused(bundle, "manifest.json")


def test_unknown_keys_are_refused_with_their_path(bundle: Path) -> None:
    edit(bundle, lambda data: data["acoustic"]["voice_activity"]["settings"].update(treshold=0.4))
    refused(bundle, "acoustic.voice_activity.settings.treshold", "unknown key")


def test_a_file_without_hash_is_refused(bundle: Path) -> None:
    edit(bundle, lambda data: data["files"].pop("face/encoder.onnx"))
    refused(bundle, "face/encoder.onnx", "not listed")


def test_widths_must_agree(bundle: Path) -> None:
    edit(bundle, lambda data: data["face"].update(pooling="mean_deviation"))
    refused(bundle, "face", "32 pooled features for a regressor of 16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_names": list(FUNCTIONAL_NAMES)}, "88 feature names for a regressor of 600"),
        ({"voice_encoder": None}, "stand last, all of them, and only where there is one"),
        ({"sample_rate_hz": 8000}, "takes sound at 16000 Hz, not at 8000"),
        ({"window_s": {"arousal": 2.0, "valence": 2.5}}, "longer than the part's"),
        ({"feature_names": [*VOICE_ENCODER_NAMES, *FUNCTIONAL_NAMES]}, "stand last"),
        (
            {"feature_names": [*FUNCTIONAL_NAMES, *VOICE_ENCODER_NAMES[::-1]]},
            "the last 512 features are its own",
        ),
        (
            {"regressor": {"file": "regressor.onnx", "features": 600, "neutral": [0.0] * 600}},
            "600 neutral features where 88 are calibrated",
        ),
    ],
)
def test_a_voice_encoder_must_fit(change: dict[str, Any], message: str) -> None:
    part = acoustic_part(listens=True)
    assert AcousticPart.model_validate(part).descriptor_names == FUNCTIONAL_NAMES
    with pytest.raises(ValidationError, match=message):
        AcousticPart.model_validate(part | change)


def test_replacing_one_part_leaves_the_others(bundle: Path, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", acoustic={"window_s": {"arousal": 4.0, "valence": 6.0}})
    before = open_bundle(bundle).manifest
    after = replace_part(bundle, other / "acoustic").manifest
    assert after.acoustic.window_s.valence == 6.0
    assert (after.face, after.fusion, after.id) == (before.face, before.fusion, before.id)
    assert after.sha256 != before.sha256
    assert not [file.name for file in bundle.iterdir() if file.name.startswith(".")]


def test_a_part_without_its_file_changes_nothing(bundle: Path) -> None:
    before = (bundle / "manifest.json").read_bytes()
    part = AcousticPart.model_validate(acoustic_part())
    with pytest.raises(BundleError, match="regressor"):
        write_part(bundle, part, {"vad.onnx": b""})
    assert (bundle / "manifest.json").read_bytes() == before
    open_bundle(bundle)


def test_packing_twice_gives_the_same_bytes(bundle: Path) -> None:
    assemble(bundle)
    first = (bundle / "manifest.json").read_bytes()
    assemble(bundle)
    assert (bundle / "manifest.json").read_bytes() == first


def test_data_is_described_by_names_and_contents(tmp_path: Path) -> None:
    for name, content in (("b.wav", b"2"), ("a.wav", b"1")):
        (tmp_path / name).write_bytes(content)
    one = describe_data("set", "CC0", sorted(tmp_path.iterdir()))
    two = describe_data("set", "CC0", {"b.wav": b"2", "a.wav": b"1"})
    assert one == two
    assert one.items == 2
    assert describe_data("set", "CC0", {"b.wav": b"1", "a.wav": b"2"}).items_sha256 != one.items_sha256

"""The face part of a bundle: detector, encoder, regressor, sigma, and what they were trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_emotion.config import DetectorSettings, SigmaParameters, WindowLengths
from edge_emotion.features.crop import CANONICAL
from edge_emotion.model.manifest import (
    DataSource,
    DetectorModel,
    EncoderModel,
    FacePart,
    Normalisation,
    RegressorModel,
    Training,
)
from edge_emotion.model.trial import REFERENCE

from ..corpora.faces import FaceCorpus
from ..training.face_deep_emotion import DeepEmotion
from ..training.face_network import MEAN, SCALE, FaceCnn
from ..training.face_networks import FaceNet
from ..training.face_regressor import FaceModels
from ..training.face_sface import SFaceNet
from .bundle import describe_data, write_part

ITEMS = "training_items.bin"
FLOAT_FILE = "encoder_float.onnx"
PREFIX = 5
"""Bytes of each item's hash that are kept: one false match in ten million look-ups among 30,000 items."""
WINDOW_S = {"arousal": 2.0, "valence": 2.0}
"""Face features are averaged over this time: our choice, short enough to follow a smile; stills cannot tell."""
MAX_RATE_HZ = 12.5
"""Frames looked at each second: our choice. A mean over 2 s gains nothing from more, and the face path costs half."""

KINDS: dict[type[FaceNet], str] = {
    SFaceNet: "The encoder starts from SFace (Zhong and others 2021; Apache-2.0, OpenCV Zoo), a face-recognition "
    "network that was trained on photographs of faces from the web whose subjects were not asked. Its trunk went on",
    FaceCnn: "The encoder, three convolutional and two fully connected layers, was trained from nothing",
    DeepEmotion: "The encoder, Deep-Emotion (Minaee and others 2021), was trained from nothing",
}
FROM_VOTES = (
    " with FER+ vote distributions (as published and as aligned crops), then with rated faces beside FER+ votes and "
    "pseudo-labels, and was quantised to int8; support vector regressors on its last hidden layer. FER+ leaves fear, "
    "disgust and contempt with under 3 % of the images: the votes output often misses them. Contempt has no rated "
    "face; its pseudo-label is the mean of neutral and disgust."
)
FROM_EXPRESSIONS = (
    " with the expressions of the rated faces, each as one vote, then with their ratings, and was quantised to int8; "
    "support vector regressors on its last hidden layer. No photograph of a person went into encoder, regressor or "
    "sigma; YuNet, the detector, was trained by its authors on photographs from the web (WIDER FACE). The faces lack "
    "contempt, so the votes output never says it."
)
NOTES = (
    " The rated faces are generated pictures of few kinds of people, most of them young and of East Asian looks, and "
    "sigma was fitted on them: on real cameras expect larger errors. Expressed emotion is estimated, not what anyone "
    "feels."
)


def pack_items(hashes: Iterable[str]) -> bytes:
    """Sorted first `PREFIX` bytes of item hashes, one after the other."""
    return b"".join(sorted({bytes.fromhex(digest)[:PREFIX] for digest in hashes}))


def known_items(packed: bytes) -> frozenset[bytes]:
    """What `pack_items` packed, for look-up by `is_known`."""
    return frozenset(packed[at : at + PREFIX] for at in range(0, len(packed), PREFIX))


def is_known(digest: str, known: frozenset[bytes]) -> bool:
    """Whether an item's hash is among those that a model was trained on."""
    return bytes.fromhex(digest)[:PREFIX] in known


def describe(corpus: FaceCorpus) -> DataSource:
    """Name, licence and digest of a corpus's pictures."""
    pixels = {name: image.tobytes() for name, image in zip(corpus.names, corpus.images, strict=True)}
    return describe_data(corpus.name, corpus.licence, pixels)


def write_face_part(
    bundle: Path,
    models: FaceModels,
    detector: bytes,
    sigma: Mapping[str, Any],
    corpora: Iterable[FaceCorpus],
    *,
    command: str,
    seed: int,
    metrics: Mapping[str, float],
) -> Path:
    """Write the part to ``bundle/face``; ``corpora`` hold exactly the faces that were trained on."""
    trained = list(corpora)
    features = models.network.settings.features
    voted = any(corpus.votes is not None for corpus in trained)
    part = FacePart(
        detector=DetectorModel(
            file="detector.onnx",
            settings=DetectorSettings(),
            licence="MIT (YuNet, OpenCV Zoo; Wu, Peng and Yu 2023), weights folded to float",
        ),
        crop=CANONICAL,
        encoder=EncoderModel(
            file="encoder.onnx",
            variants={REFERENCE: FLOAT_FILE},
            features=features,
            normalisation=Normalisation(mean=MEAN, scale=SCALE),
        ),
        window_s=WindowLengths(**WINDOW_S),
        max_rate_hz=MAX_RATE_HZ,
        regressor=RegressorModel(file="regressor.onnx", features=features),
        sigma=SigmaParameters.model_validate(sigma),
        training=Training(
            data=tuple(describe(corpus) for corpus in trained),
            command=command,
            seed=seed,
            metrics=dict(metrics),
            notes=KINDS[type(models.network)] + (FROM_VOTES if voted else FROM_EXPRESSIONS) + NOTES,
            items_file=ITEMS,
        ),
    )
    hashes = (digest for corpus in trained for digest in corpus.hashes())
    files = {
        "detector.onnx": detector,
        "encoder.onnx": models.encoder,
        FLOAT_FILE: models.float_encoder,
        "regressor.onnx": models.regressor,
        ITEMS: pack_items(hashes),
    }
    return write_part(bundle, part, files)

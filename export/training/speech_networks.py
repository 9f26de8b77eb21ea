"""Recurrent networks on frames of speech, trained on the CCC: what the kernel regressor is compared with.

Both read a window of 3 s from a fresh state, as the windows' functionals do, so that nothing before it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_emotion.features.names import LLD_NAMES
from edge_emotion.kernels.mel40 import BANDS

from ..conversion.voice_encoder import UNITS, read_weights
from ..packaged_files import fetch
from .recurrent import ccc_loss
from .speech import SpeechData, row_targets, row_weights, training_rows
from .speech_frames import LEAST_MEL, Frames
from .speech_regressors import (
    Cost,
    Fit,
    FrameTable,
    Index,
    Mask,
    Material,
    median_us,
)
from .speech_windows import WINDOW_S, Windows

F32 = NDArray[np.float32]

STEP_FRAMES = 4
STEPS = round(WINDOW_S * 100) // STEP_FRAMES
"""A step of 40 ms is the mean of four frames."""
INPUTS = len(LLD_NAMES) + BANDS
QUIET = np.log(100.0)
"""Frames whose mel power is 20 dB below the window's mean are pauses: the encoder's statistics leave them out."""


@dataclass(frozen=True)
class NetworkSettings:
    """Fixed beforehand (our choice): choosing them among the training speakers would cost as much again."""

    epochs: int
    learning_rate: float
    batch: int = 96
    weight_decay: float = 1e-3


class WindowGru(nn.Module):
    """Standardised steps (batch, time, 65) to arousal and valence (batch, 2): the mean of what a GRU says."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.squeeze = nn.Linear(INPUTS, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 2)

    def forward(self, steps: Tensor) -> Tensor:
        """Shapes as above."""
        said, _ = self.gru(torch.tanh(self.squeeze(self.drop(steps))))
        return torch.as_tensor(self.head(self.drop(said.mean(dim=1))))


@dataclass(frozen=True)
class Gru:
    """A causal GRU on the descriptors and log mel bands at 25 Hz."""

    hidden: int = 48
    dropout: float = 0.3
    settings: NetworkSettings = NetworkSettings(epochs=25, learning_rate=3e-3)
    folds: int | None = 7

    def fit(self, material: Material, train: Mask, rows: Index, seed: int) -> Fit:
        """One fold."""
        torch.manual_seed(seed)
        data = material.data
        used, spans = _with_frames(data.windows, training_rows(data, train), material.frames)
        inputs = np.stack([_steps(*span) for span in spans])
        mean, scale = inputs.mean(axis=(0, 1)), inputs.std(axis=(0, 1)) + 1e-6
        network = WindowGru(self.hidden, self.dropout)
        target, weight = row_targets(data, train, used), row_weights(data, used)
        _train(network, torch.from_numpy((inputs - mean) / scale), target, weight, self.settings, seed)
        _, asked = _with_frames(material.trials, rows, material.trial_frames)
        heard = torch.from_numpy((np.stack([_steps(*span) for span in asked]) - mean) / scale)
        return Fit(_predict(network, heard), _cost(network, heard[:1]))


class TunedEncoder(nn.Module):
    """The encoder's second layer, and linear heads on mean and deviation of what it says: affect, and acted emotions.

    Inputs: the first layer's outputs (batch, time, 256) and which frames are speech (batch, time).
    """

    def __init__(self, weights: dict[str, F32], emotions: int) -> None:
        super().__init__()
        self.second = nn.LSTM(UNITS, UNITS, batch_first=True)
        _load(self.second, weights, layer_number=1)
        self.norm = nn.BatchNorm1d(2 * UNITS, affine=False)
        self.affect = nn.Linear(2 * UNITS, 2)
        self.emotion = nn.Linear(2 * UNITS, max(emotions, 1))

    def pooled(self, first: Tensor, speech: Tensor) -> Tensor:
        """Mean and deviation over the frames of speech, (batch, 512)."""
        said, _ = self.second(first)
        share = (speech / speech.sum(dim=1, keepdim=True))[..., None]
        mean = (said * share).sum(dim=1)
        deviation = torch.sqrt((((said - mean[:, None]) ** 2) * share).sum(dim=1) + 1e-8)
        return torch.as_tensor(self.norm(torch.cat([mean, deviation], dim=1)))


@dataclass(frozen=True)
class TunedVoiceEncoder:
    """The second layer of the voice encoder tuned on ratings and acted emotions at once; one window per utterance."""

    tuned: bool = True
    """Else the heads alone learn: what tuning is to be compared with."""
    settings: NetworkSettings = NetworkSettings(epochs=3, learning_rate=3e-4, batch=32)
    head_rate: float = 1e-2
    folds: int | None = 2

    def fit(self, material: Material, train: Mask, rows: Index, seed: int) -> Fit:
        """One fold."""
        torch.manual_seed(seed)
        data, weights = material.data, read_weights(fetch("ge2e.pt"))
        last = _last_of_each(data.windows, training_rows(data, train))
        used, spans = _with_frames(data.windows, last, material.frames)
        emotions, labels = _emotions(data, used)
        network = TunedEncoder(weights, len(emotions))
        first = nn.LSTM(BANDS, UNITS, batch_first=True)
        _load(first, weights, layer_number=0)
        target, weight = row_targets(data, train, used), row_weights(data, used)
        self._tune(network, first, spans, target, weight, labels, seed)
        asked_rows = _last_of_each(material.trials, rows)
        _, asked = _with_frames(material.trials, asked_rows, material.trial_frames)
        said = np.concatenate(
            [_affect(network, first, asked[at : at + 64]) for at in range(0, len(asked), 64)]
        )
        # One window speaks for its utterance: all of the utterance's rows get what it says.
        keys = list(zip(material.trials.clip[asked_rows], material.trials.copy[asked_rows], strict=True))
        place = {key: index for index, key in enumerate(keys)}
        wanted = zip(material.trials.clip[rows], material.trials.copy[rows], strict=True)
        cost = _lstm_cost(network, first, asked[:1])
        return Fit(said[[place[key] for key in wanted]], cost)

    def _tune(
        self,
        network: TunedEncoder,
        first: nn.LSTM,
        spans: list[Span],
        target: NDArray[np.float64],
        weight: NDArray[np.float64],
        labels: NDArray[np.int64],
        seed: int,
    ) -> None:
        heads = [*network.affect.parameters(), *network.emotion.parameters()]
        groups: list[dict[str, Any]] = [{"params": heads, "lr": self.head_rate}]
        network.second.requires_grad_(self.tuned)
        if self.tuned:
            groups.append({"params": network.second.parameters(), "lr": self.settings.learning_rate})
        optimiser = torch.optim.AdamW(groups, weight_decay=self.settings.weight_decay)
        y, w = _tensor(target), _tensor(weight)
        network.train()
        for some in _batches(len(spans), self.settings, seed):
            steps, speech = _first_layer(first, [spans[i] for i in some])
            pooled = network.pooled(steps, speech)
            loss = _affect_loss(network.affect(pooled), y[some], w[some])
            acted = torch.from_numpy(labels[some])
            if bool((acted >= 0).any()):
                loss = loss + 0.3 * nn.functional.cross_entropy(
                    network.emotion(pooled), acted, ignore_index=-1
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        network.eval()


Span = tuple[Frames, int, int]
"""A window: its sound, first and last frame (excluded)."""


def _with_frames(windows: Windows, rows: Index, table: FrameTable) -> tuple[Windows, list[Span]]:
    """Those of the rows whose sounds have frames, and where their windows lie."""
    # Windows of one copy stand together, in the order of time.
    copies = windows.sound
    first = {int(copy): int(at) for copy, at in zip(*np.unique(copies, return_index=True), strict=True)}
    kept, spans = [], []
    for row in rows:
        frames = table.get((int(windows.clip[row]), int(windows.copy[row])))
        if frames is not None:
            span = list(frames.windows())[row - first[int(copies[row])]]
            kept.append(row)
            spans.append((frames, *span))
    return windows.take(np.array(kept, np.intp)), spans


def _last_of_each(windows: Windows, rows: Index) -> Index:
    """The last of the rows of each copy of an utterance."""
    _, last = np.unique(windows.sound[rows][::-1], return_index=True)
    return np.sort(rows[len(rows) - 1 - last])


def _steps(frames: Frames, first: int, last: int) -> F32:
    """(75, 65): means of four frames each; what is shorter has its beginning repeated."""
    count = min(len(frames.descriptors), len(frames.log_mel), last)
    joined = np.hstack([frames.descriptors[first:count], frames.log_mel[first:count]]).astype(np.float32)
    whole = len(joined) // STEP_FRAMES
    steps = joined[len(joined) - whole * STEP_FRAMES :].reshape(whole, STEP_FRAMES, INPUTS).mean(axis=1)
    return np.asarray(steps[np.arange(STEPS) % whole] if whole < STEPS else steps[-STEPS:])


def _train(
    network: nn.Module,
    inputs: Tensor,
    target: NDArray[np.float64],
    weight: NDArray[np.float64],
    settings: NetworkSettings,
    seed: int,
) -> None:
    y, w = _tensor(target), _tensor(weight)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    count = settings.epochs * -(-len(inputs) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, count)
    network.train()
    for some in _batches(len(inputs), settings, seed):
        optimiser.zero_grad()
        _affect_loss(network(inputs[some]), y[some], w[some]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.eval()


def _batches(count: int, settings: NetworkSettings, seed: int) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    pieces = -(-count // settings.batch)
    return [b for _ in range(settings.epochs) for b in np.array_split(rng.permutation(count), pieces)]


def _affect_loss(said: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    arousal, valence = (ccc_loss(target[:, k], said[:, k], weight) for k in range(2))
    return arousal + valence


def _predict(network: nn.Module, inputs: Tensor) -> NDArray[np.float64]:
    with torch.no_grad():
        parts = [network(inputs[at : at + 256]).numpy() for at in range(0, len(inputs), 256)]
    return np.concatenate(parts).astype(np.float64)


def _cost(network: nn.Module, window: Tensor) -> Cost:
    """Of a reading that reads its whole window anew."""
    with torch.no_grad():
        us = median_us(lambda: network(window))
    return Cost(sum(p.numel() for p in network.parameters()), us)


def _lstm_cost(network: TunedEncoder, first: nn.LSTM, spans: list[Span]) -> Cost:
    parameters = sum(p.numel() for part in (first, network.second, network.affect) for p in part.parameters())
    with torch.no_grad():
        steps, speech = _first_layer(first, spans)
        # The encoder runs as the sound comes in: a reading costs its pooling and the head.
        said = torch.zeros_like(steps)
        us = median_us(lambda: network.affect(torch.cat([said.mean(1), said.std(1)], dim=1) * speech[:, :1]))
    return Cost(parameters, us)


def _first_layer(first: nn.LSTM, spans: list[Span]) -> tuple[Tensor, Tensor]:
    """The frozen layer's outputs (batch, time, 256), and speech; frames after a window's end weigh nothing."""
    parts = [_mel(*span) for span in spans]
    longest = max(len(part) for part in parts)
    mel, speech = (
        np.zeros((len(parts), longest, BANDS), np.float32),
        np.zeros((len(parts), longest), np.float32),
    )
    for row, part in enumerate(parts):
        mel[row, : len(part)] = part
        power = np.log(part.sum(axis=1) + LEAST_MEL)
        speech[row, : len(part)] = power > np.log(part.sum(axis=1).mean() + LEAST_MEL) - QUIET
    with torch.no_grad():
        steps, _ = first(torch.from_numpy(mel))
    return steps, torch.from_numpy(speech)


def _mel(frames: Frames, first: int, last: int) -> F32:
    """Mel bands of a window from where the encoder last began anew, if that is at least 0.5 s before its end."""
    last = min(last, len(frames.log_mel))
    begun = frames.starts[(frames.starts > first) & (frames.starts <= last - 50)]
    begin = int(begun[-1]) if len(begun) else min(first, last - 1)
    return np.exp(frames.log_mel[begin:last].astype(np.float32)) - np.float32(LEAST_MEL)


def _affect(network: TunedEncoder, first: nn.LSTM, spans: list[Span]) -> NDArray[np.float64]:
    with torch.no_grad():
        said = network.affect(network.pooled(*_first_layer(first, spans)))
    return np.asarray(said.numpy(), np.float64)


def _emotions(data: SpeechData, windows: Windows) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the emotions that were acted in unrated speech, and each row's (-1 for rated speech)."""
    intended = [None if data.rated[clip] else data.recordings[clip].intended for clip in windows.clip]
    names = sorted({name for name in intended if name})
    return names, np.array([names.index(name) if name else -1 for name in intended], np.int64)


def _load(layer: nn.LSTM, weights: dict[str, F32], *, layer_number: int) -> None:
    """Take a layer's weights from the published file."""
    state = {
        f"{what}_l0": torch.tensor(weights[f"lstm.{what}_l{layer_number}"])
        for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    layer.load_state_dict(state)


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))

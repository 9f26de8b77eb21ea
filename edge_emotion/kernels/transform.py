"""Fourier transforms of frames, eight side by side.

The transform is a radix-4 one in ``float32``. Each step does the same to eight frames that lie interleaved in memory, so
that any machine's vector unit is full whatever the frame size. A real frame of n samples is transformed as n/2 complex
numbers and unzipped (Cooley and Tukey, Math. Comp. 19, 1965; Cooley, Lewis and Welch, J. Sound Vib. 12, 1970).

Sections 1 and 4 of the descriptor specification.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_emotion.kernels._jit import Indices, Matrix32, Vector32, kernel, part

LANES = 8


class TransformPlan(NamedTuple):
    """Tables for one window and transform size."""

    window: Vector32
    left: int
    """Zeros before the windowed frame; the rest of the padding follows it."""
    order: Indices
    """Where the transform wants each pair of samples: bit reversal."""
    twiddle: Matrix32
    """(n / 8, 6): real and imaginary parts of the first to third power of each block's root of unity."""
    unzip: Matrix32
    """(n / 4, 2): what separates the spectra of even and odd samples."""


def transform_plan(window: NDArray[np.float32]) -> TransformPlan:
    """Tables for frames as long as ``window``, padded on both sides to the next power of two (at least 16)."""
    n = max(16, 1 << (len(window) - 1).bit_length())
    half, quarter = n // 2, n // 4
    block = _reversed_bits(half // 2)[: half // 4] * (2.0 * np.pi / half) / 2.0
    powers = np.exp(1j * block[:, None] * np.array([1, 2, 3]))
    split = 0.5 - 0.5 * np.exp(1j * (np.pi / 2 - 2.0 * np.pi * np.arange(quarter) / n))
    return TransformPlan(
        window=np.ascontiguousarray(window, np.float32),
        left=(n - len(window)) // 2,
        order=_reversed_bits(half),
        twiddle=np.stack([powers.real, powers.imag], axis=2).reshape(-1, 6).astype(np.float32),
        unzip=np.stack([split.real, -split.imag], axis=1).astype(np.float32),
    )


def _reversed_bits(n: int) -> NDArray[np.int64]:
    order = np.zeros(1, np.int64)
    while len(order) < n:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


@kernel
def transform(
    samples: Vector32,
    hop: int,
    plan: TransformPlan,
    real: Matrix32,
    imaginary: Matrix32,
    magnitude: Matrix32,
    power: Matrix32,
) -> None:
    """Spectra of the windowed frames that start every ``hop`` samples.

    Parameters
    ----------
    real, imaginary
        ``(frames, any number of bins up to all)``: takes the lowest bins.
    magnitude
        ``(frames, bins)``; its length tells how many frames there are.
    power
        ``(frames, 2)``: mean square of the frame, and of the windowed frame.
    """
    frames, bins = magnitude.shape
    kept = real.shape[1]
    even = np.empty((bins - 1) * LANES, np.float32)
    odd = np.empty((bins - 1) * LANES, np.float32)
    size = np.empty(bins * LANES, np.float32)
    for first in range(0, frames, LANES):
        count = min(LANES, frames - first)
        even[:] = 0.0
        odd[:] = 0.0
        for lane in range(count):
            begin = (first + lane) * hop
            _load(samples[begin : begin + len(plan.window)], plan, lane, even, odd, power[first + lane])
        _transform(even, odd, plan)
        _sizes(even, odd, size)
        for lane in range(count):
            for k in range(bins):
                magnitude[first + lane, k] = size[k * LANES + lane]
            for k in range(kept):
                real[first + lane, k] = even[k * LANES + lane]
                imaginary[first + lane, k] = odd[k * LANES + lane]
            if kept > 0:
                real[first + lane, 0] = even[lane] + odd[lane]
                imaginary[first + lane, 0] = 0.0


@kernel
def autocorrelate(magnitude: Matrix32, wanted: Vector32, plan: TransformPlan, correlation: Matrix32) -> None:
    """Magnitude of the autocorrelation, ``(frames, bins)`` and up to a factor, of frames whose ``wanted`` is not 0."""
    frames, bins = magnitude.shape
    even = np.zeros((bins - 1) * LANES, np.float32)
    odd = np.zeros((bins - 1) * LANES, np.float32)
    chosen = np.empty(LANES, np.int64)
    count = 0
    for t in range(frames):
        if wanted[t] != 0.0:
            chosen[count] = t
            for c in range(bins - 1):
                place = plan.order[c] * LANES + count
                k = min(2 * c, 2 * (bins - 1) - 2 * c)
                even[place] = magnitude[t, k] * magnitude[t, k]
                k = min(2 * c + 1, 2 * (bins - 1) - 2 * c - 1)
                odd[place] = magnitude[t, k] * magnitude[t, k]
            count += 1
        if count == LANES or (t == frames - 1 and count > 0):
            _transform(even, odd, plan)
            for lane in range(count):
                row = correlation[chosen[lane]]
                row[0] = abs(even[lane] + odd[lane])
                row[bins - 1] = abs(even[lane] - odd[lane])
                for k in range(1, bins - 1):
                    row[k] = abs(even[k * LANES + lane])
            count = 0


@part
def _load(frame: Vector32, plan: TransformPlan, lane: int, even: Vector32, odd: Vector32, power: Vector32) -> None:
    plain = windowed = 0.0
    for n in range(len(frame)):
        value = frame[n] * plan.window[n]
        plain += float(frame[n]) * float(frame[n])
        windowed += float(value) * float(value)
        place = plan.left + n
        index = plan.order[place >> 1] * LANES + lane
        if place & 1:
            odd[index] = value
        else:
            even[index] = value
    power[0] = plain / len(frame)
    power[1] = windowed / len(frame)


@part
def _transform(even: Vector32, odd: Vector32, plan: TransformPlan) -> None:
    """Real transform in place: bins 1 to n/2 - 1 as real and imaginary part; bins 0 and n/2 are sum and difference at 0."""
    half = len(even) // LANES
    length = 1
    while 4 * length <= half:
        for block in range(half // (4 * length)):
            _radix4(even, odd, block, length * LANES, plan.twiddle[block])
        length *= 4
    if length < half:
        n = length * LANES
        re0, re1, im0, im1 = even[:n], even[n:], odd[:n], odd[n:]
        for j in range(n):
            re, im = re0[j] - re1[j], im0[j] - im1[j]
            re0[j] += re1[j]
            im0[j] += im1[j]
            re1[j], im1[j] = re, im
    for k in range(1, half // 2):
        _unzip(even, odd, k * LANES, (half - k) * LANES, plan.unzip[k])
    for j in range(half // 2 * LANES, (half // 2 + 1) * LANES):
        odd[j] = -odd[j]


@part
def _radix4(re: Vector32, im: Vector32, block: int, n: int, w: Vector32) -> None:
    o = 4 * block * n
    re0, re1, re2, re3 = re[o : o + n], re[o + n : o + 2 * n], re[o + 2 * n : o + 3 * n], re[o + 3 * n : o + 4 * n]
    im0, im1, im2, im3 = im[o : o + n], im[o + n : o + 2 * n], im[o + 2 * n : o + 3 * n], im[o + 3 * n : o + 4 * n]
    w1re, w1im, w2re, w2im, w3re, w3im = w[0], w[1], w[2], w[3], w[4], w[5]
    for j in range(n):
        a_re, a_im = re0[j] + re1[j], im0[j] + im1[j]
        b_re, b_im = re0[j] - re1[j], im0[j] - im1[j]
        c_re, c_im = re2[j] + re3[j], im2[j] + im3[j]
        d_re, d_im = re2[j] - re3[j], im2[j] - im3[j]
        re0[j], im0[j] = a_re + c_re, a_im + c_im
        x, y = a_re - c_re, a_im - c_im
        re2[j], im2[j] = w2re * x - w2im * y, w2re * y + w2im * x
        x, y = b_re - d_im, b_im + d_re
        re1[j], im1[j] = w1re * x - w1im * y, w1re * y + w1im * x
        x, y = b_re + d_im, b_im - d_re
        re3[j], im3[j] = w3re * x - w3im * y, w3re * y + w3im * x


@part
def _unzip(re: Vector32, im: Vector32, low: int, high: int, w: Vector32) -> None:
    """Bins k and n/2 - k of the real transform, from those of the zipped one; conjugated, so that time runs forward."""
    w_re, w_im = w[0], w[1]
    re0, re1, im0, im1 = re[low : low + LANES], re[high : high + LANES], im[low : low + LANES], im[high : high + LANES]
    for j in range(LANES):
        x, y = re0[j] - re1[j], im0[j] + im1[j]
        u, v = w_re * x - w_im * y, w_re * y + w_im * x
        re0[j], im0[j] = re0[j] - u, v - im0[j]
        re1[j], im1[j] = re1[j] + u, v - im1[j]


@part
def _sizes(even: Vector32, odd: Vector32, size: Vector32) -> None:
    for j in range(LANES, len(even)):
        size[j] = np.sqrt(even[j] * even[j] + odd[j] * odd[j])
    for lane in range(LANES):
        size[lane] = abs(even[lane] + odd[lane])
        size[len(even) + lane] = abs(even[lane] - odd[lane])

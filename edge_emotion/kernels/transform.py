"""Fourier transforms of frames, eight side by side.

The transform is a radix-4 one in ``float32``. Each step does the same to eight frames that lie interleaved in memory,
so that any machine's vector unit is full whatever the frame size: a row of a block holds the real parts of one bin of
eight frames, then the imaginary parts. Rows lie in one array, at distances that the compiler knows: else it would have
to guard each step against overlap. A real frame of n samples is transformed as n/2 complex numbers and unzipped (Cooley
and Tukey, Math. Comp. 19, 1965; Cooley, Lewis and Welch, J. Sound Vib. 12, 1970).

Sections 1 and 4 of the descriptor specification.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_emotion.kernels._jit import Indices, Matrix32, Vector32, inlined, kernel, part

LANES = 8
_ROW = 2 * LANES


class TransformPlan(NamedTuple):
    """Tables for one window and transform size."""

    window: Vector32
    left: int
    """Zeros before the windowed frame; the rest of the padding follows it."""
    order: Indices
    """Which pair of samples the transform wants in each place: bit reversal."""
    twiddle: Matrix32
    """(n / 8, 6): real and imaginary parts of the first to third power of each block's root of unity."""
    whole: bool
    """Whether n / 2 is a power of four; else a last stage combines two halves."""
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
        whole=(half.bit_length() - 1) % 2 == 0,
        unzip=np.stack([split.real, -split.imag], axis=1).astype(np.float32),
    )


def _reversed_bits(n: int) -> NDArray[np.int64]:
    order = np.zeros(1, np.int64)
    while len(order) < n:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


class TransformScratch(NamedTuple):
    """Room for a batch of one kernel; the padding around windowed frames stays zero, so no two kernels share it."""

    padded: Matrix32
    """(LANES, n and some more, so that lanes do not fall on the same lines of the cache)."""
    block: Vector32


def transform_scratch(plan: TransformPlan) -> TransformScratch:
    """Room for frames of one plan."""
    half = len(plan.order)
    return TransformScratch(
        padded=np.zeros((LANES, 2 * half + 16), np.float32), block=np.zeros((half + 1) * _ROW, np.float32)
    )


@kernel
def transform(
    samples: Vector32,
    hop: int,
    plan: TransformPlan,
    scratch: TransformScratch,
    real: Matrix32,
    imaginary: Matrix32,
    magnitude: Matrix32,
    mean_square: Vector32,
    of_windowed: bool,
) -> None:
    """Spectra of the windowed frames that start every ``hop`` samples.

    Parameters
    ----------
    real, imaginary
        ``(frames, any number of bins up to all but the last)``: takes the lowest bins.
    magnitude
        ``(frames, bins)``; its length tells how many frames there are.
    mean_square
        ``(frames,)``: of the windowed frame's samples, or of the plain frame's.
    """
    frames, bins = magnitude.shape
    kept = real.shape[1]
    padded, block = scratch.padded, scratch.block
    for first in range(0, frames, LANES):
        count = min(LANES, frames - first)
        for lane in range(count):
            begin = (first + lane) * hop
            frame = samples[begin : begin + len(plan.window)]
            windowed = padded[lane, plan.left : plan.left + len(plan.window)]
            for n in range(len(frame)):
                windowed[n] = frame[n] * plan.window[n]
            mean_square[first + lane] = _mean_square(windowed if of_windowed else frame)
        _transform(padded, plan, block)
        for lane in range(count):
            re, im = block[lane:], block[LANES + lane :]
            for k in range(kept):
                real[first + lane, k], imaginary[first + lane, k] = re[k * _ROW], im[k * _ROW]
            size = magnitude[first + lane]
            for k in range(bins):
                size[k] = re[k * _ROW] * re[k * _ROW] + im[k * _ROW] * im[k * _ROW]
            for k in range(bins):
                size[k] = math.sqrt(size[k])


@kernel
def autocorrelate(
    magnitude: Matrix32,
    wanted: Vector32,
    plan: TransformPlan,
    scratch: TransformScratch,
    correlation: Matrix32,
) -> None:
    """Magnitude of the autocorrelation, ``(frames, bins)`` and up to a factor, of frames whose ``wanted`` is not 0."""
    frames, bins = magnitude.shape
    padded, block = scratch.padded, scratch.block
    begin = count = 0
    for t in range(frames):
        if wanted[t] != 0.0:
            for k in range(bins):
                padded[count, k] = magnitude[t, k] * magnitude[t, k]
            for k in range(1, bins - 1):
                padded[count, 2 * (bins - 1) - k] = padded[count, k]
            count += 1
        if count == LANES or (t == frames - 1 and count > 0):
            _transform(padded, plan, block)
            lane = 0
            for chosen in range(begin, t + 1):
                if wanted[chosen] != 0.0:
                    for k in range(bins):
                        correlation[chosen, k] = abs(block[k * _ROW + lane])
                    lane += 1
            begin, count = t + 1, 0


@part
def _mean_square(values: Vector32) -> float:
    """Mean square, summed in four strands that the processor can follow at once."""
    a = b = c = d = 0.0
    whole = len(values) // 4 * 4
    for i in range(0, whole, 4):
        a += float(values[i]) * float(values[i])
        b += float(values[i + 1]) * float(values[i + 1])
        c += float(values[i + 2]) * float(values[i + 2])
        d += float(values[i + 3]) * float(values[i + 3])
    for i in range(whole, len(values)):
        a += float(values[i]) * float(values[i])
    return ((a + b) + (c + d)) / len(values)


@inlined
def _stage(block: Vector32, twiddle: Matrix32, rows: int, length: int) -> None:
    """One radix-4 stage over rows that are ``length`` apart."""
    r1 = length * _ROW
    r2, r3 = 2 * r1, 3 * r1
    for b in range(rows // (4 * length)):
        w1re, w1im, w2re = twiddle[b, 0], twiddle[b, 1], twiddle[b, 2]
        w2im, w3re, w3im = twiddle[b, 3], twiddle[b, 4], twiddle[b, 5]
        quad = block[4 * b * r1 :]
        for row in range(length):
            for lane in range(LANES):
                i = row * _ROW + lane
                j = i + LANES
                a_re, a_im = quad[i] + quad[i + r1], quad[j] + quad[j + r1]
                b_re, b_im = quad[i] - quad[i + r1], quad[j] - quad[j + r1]
                c_re, c_im = quad[i + r2] + quad[i + r3], quad[j + r2] + quad[j + r3]
                d_re, d_im = quad[i + r2] - quad[i + r3], quad[j + r2] - quad[j + r3]
                quad[i], quad[j] = a_re + c_re, a_im + c_im
                x, y = a_re - c_re, a_im - c_im
                quad[i + r2], quad[j + r2] = w2re * x - w2im * y, w2re * y + w2im * x
                x, y = b_re - d_im, b_im + d_re
                quad[i + r1], quad[j + r1] = w1re * x - w1im * y, w1re * y + w1im * x
                x, y = b_re + d_im, b_im - d_re
                quad[i + r3], quad[j + r3] = w3re * x - w3im * y, w3re * y + w3im * x


@part
def _transform(padded: Matrix32, plan: TransformPlan, block: Vector32) -> None:
    """Transform the real rows of ``padded``, bins 0 to n/2 into ``block``."""
    rows = len(plan.order)
    for c in range(rows):
        pair = 2 * plan.order[c]
        row = block[c * _ROW : (c + 1) * _ROW]
        for lane in range(LANES):
            row[lane], row[LANES + lane] = padded[lane, pair], padded[lane, pair + 1]
    _stage(block, plan.twiddle, rows, 1)
    if rows >= 16:
        _stage(block, plan.twiddle, rows, 4)
    if rows >= 64:
        _stage(block, plan.twiddle, rows, 16)
    if rows >= 256:
        _stage(block, plan.twiddle, rows, 64)
    if rows >= 1024:
        _stage(block, plan.twiddle, rows, 256)
    if rows >= 4096:
        _stage(block, plan.twiddle, rows, 1024)
    if not plan.whole:
        half = rows // 2 * _ROW
        low, high = block[:half], block[half : 2 * half]
        for j in range(half):
            low[j], high[j] = low[j] + high[j], low[j] - high[j]
    for k in range(1, rows // 2):
        _unzip(block, k * _ROW, (rows - k) * _ROW, plan.unzip[k])
    for lane in range(LANES):
        total, other = block[lane], block[LANES + lane]
        block[lane], block[LANES + lane] = total + other, np.float32(0.0)
        block[rows * _ROW + lane], block[rows * _ROW + LANES + lane] = total - other, np.float32(0.0)
        middle = rows // 2 * _ROW + LANES + lane
        block[middle] = -block[middle]


@part
def _unzip(block: Vector32, low: int, high: int, w: Vector32) -> None:
    """Bins k and n/2 - k of the real transform, from those of the zipped one; conjugated, so that time runs forward."""
    w_re, w_im = w[0], w[1]
    below, above = block[low : low + _ROW], block[high : high + _ROW]
    for lane in range(LANES):
        x, y = below[lane] - above[lane], below[LANES + lane] + above[LANES + lane]
        u, v = w_re * x - w_im * y, w_re * y + w_im * x
        below[lane], below[LANES + lane] = below[lane] - u, v - below[LANES + lane]
        above[lane], above[LANES + lane] = above[lane] + u, v - above[LANES + lane]

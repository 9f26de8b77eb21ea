"""Smoothing over three frames, gates of voicing, endings: from raw frames to rows (specification, section 6)."""

from __future__ import annotations

import numpy as np

from edge_emotion.kernels._jit import Indices, Matrix32, Vector32, kernel, part

# Columns of a raw 20 ms frame.
LOUDNESS = 0
SPECTRAL = 1  # alphaRatio, hammarbergIndex, slope0-500, slope500-1500
FLUX = 5
MFCC = 6
FREQUENCY = 10  # of F1, F2, F3
BANDWIDTH = 13
MEAN_SQUARE = 16
SHORT_COLUMNS = 17
# Columns of a raw 60 ms frame.
F0 = 0
VOICE = 1  # jitterLocal, shimmerLocaldB, HNRdBACF, H1-H2, H1-A3
AMPLITUDE = 6  # of F1, F2, F3
LONG_COLUMNS = 9

OWN_FRAME = -1

_VOICED = 1e-6


@part
def mean3(left: np.float32, centre: np.float32, right: np.float32) -> np.float32:
    """Mean of three neighbours."""
    return (left + centre + right) / np.float32(3.0)


@part
def mean3_nonzero(left: np.float32, centre: np.float32, right: np.float32) -> np.float32:
    """Mean of those of three neighbours that are not 0; 0 where the middle one is."""
    if centre == 0.0:
        return np.float32(0.0)
    count = np.float32(1.0)
    if left != 0.0:
        count += np.float32(1.0)
    if right != 0.0:
        count += np.float32(1.0)
    return (left + centre + right) / count


@part
def spectral_row(left: Vector32, centre: Vector32, right: Vector32, out: Vector32) -> None:
    """One smoothed spectral row (7 columns) of three neighbouring 20 ms frames."""
    out[0] = mean3(left[LOUDNESS], centre[LOUDNESS], right[LOUDNESS])
    for k in range(5):
        out[1 + k] = mean3(left[FLUX + k], centre[FLUX + k], right[FLUX + k])
    out[6] = centre[MEAN_SQUARE]


@part
def gated(frame: Vector32, column: int, long_frame: Vector32, voiced: bool) -> np.float32:
    """A value of the 20 ms path where the 60 ms frame of the same index is voiced (or else unvoiced), 0 elsewhere."""
    return frame[column] if (long_frame[F0] > _VOICED) == voiced else np.float32(0.0)


@part
def gated_row(short: Matrix32, long: Matrix32, near: Indices, out: Vector32) -> None:
    """The 14 spectral values of a pitch row (places 14 to 27), 9 where voiced and 5 where not, of frames ``near``."""
    a, b, c = near
    for k in range(9):
        column = SPECTRAL + k
        out[14 + k] = mean3_nonzero(
            gated(short[a], column, long[a], True),
            gated(short[b], column, long[b], True),
            gated(short[c], column, long[c], True),
        )
    for k in range(5):
        column = SPECTRAL + k
        out[23 + k] = mean3_nonzero(
            gated(short[a], column, long[a], False),
            gated(short[b], column, long[b], False),
            gated(short[c], column, long[c], False),
        )


@part
def voice_row(short: Matrix32, long: Matrix32, near: Indices, out: Vector32) -> None:
    """The 14 values of a pitch row (places 0 to 13) that describe the voice and its formants, of frames ``near``."""
    a, b, c = near
    for k in range(5):
        out[k] = mean3_nonzero(long[a, VOICE + k], long[b, VOICE + k], long[c, VOICE + k])
    for k in range(3):
        for place, column in ((5, FREQUENCY + k), (6, BANDWIDTH + k)):
            out[place + 3 * k] = mean3_nonzero(
                gated(short[a], column, long[a], True),
                gated(short[b], column, long[b], True),
                gated(short[c], column, long[c], True),
            )
        column = AMPLITUDE + k
        out[7 + 3 * k] = mean3_nonzero(long[a, column], long[b, column], long[c, column])


@part
def lld_row(short: Matrix32, long: Matrix32, near: Indices, whole: Indices, out: Vector32) -> None:
    """One row of the table of 25 descriptors: the spectral ones of frames ``whole``, all others of frames ``near``."""
    a, b, c = whole
    for k in range(10):
        out[k] = mean3(short[a, k], short[b, k], short[c, k])
    a, b, c = near
    for k in range(6):
        out[10 + k] = mean3_nonzero(long[a, k], long[b, k], long[c, k])
    for k in range(3):
        column = FREQUENCY + k
        out[16 + 3 * k] = mean3_nonzero(short[a, column], short[b, column], short[c, column])
        column = BANDWIDTH + k
        out[17 + 3 * k] = mean3_nonzero(short[a, column], short[b, column], short[c, column])
        column = AMPLITUDE + k
        out[18 + 3 * k] = mean3_nonzero(long[a, column], long[b, column], long[c, column])


@part
def neighbours(i: int, last: int, out: Indices) -> None:
    """Indices ``i`` - 1, ``i``, ``i`` + 1, each held inside 0 to ``last``."""
    for k in range(3):
        out[k] = min(max(i - 1 + k, 0), last)


@kernel
def spectral_rows(short: Matrix32, begin: int, out: Matrix32) -> None:
    """Smoothed spectral rows ``float32 (n, 7)`` of the frames from ``begin`` on; the ends of ``short`` count twice."""
    near = np.empty(3, np.int64)
    for i in range(len(out)):
        neighbours(begin + i, len(short) - 1, near)
        spectral_row(short[near[0]], short[near[1]], short[near[2]], out[i])


@kernel
def pitch_rows(
    short: Matrix32, long: Matrix32, begin: int, last: int, last_gated: int, f0: Vector32, out: Matrix32
) -> None:
    """Smoothed F0 ``float32 (m,)`` and the rows bound to it ``float32 (m, 28)`` of the frames from ``begin`` on.

    ``last_gated`` is the last frame that F0 and the gated spectral descriptors may look at (`OWN_FRAME`: each row its
    own), ``last`` that of all others: they differ at the end of a file.
    """
    near = np.empty(3, np.int64)
    for i in range(len(out)):
        neighbours(begin + i, last, near)
        voice_row(short, long, near, out[i])
        neighbours(begin + i, begin + i if last_gated == OWN_FRAME else last_gated, near)
        gated_row(short, long, near, out[i])
        f0[i] = mean3_nonzero(long[near[0], F0], long[near[1], F0], long[near[2], F0])


@kernel
def lld_rows(short: Matrix32, long: Matrix32, begin: int, released: int, out: Matrix32) -> None:
    """Rows of the table from ``begin`` on with the reference's ending; ``released`` frames left before the flush."""
    near = np.empty(3, np.int64)
    whole = np.empty(3, np.int64)
    for k in range(len(out)):
        i = begin + k
        neighbours(i, (released if i <= released and released > 0 else len(long)) - 1, near)
        neighbours(i, len(short) - 1, whole)
        lld_row(short, long, near, whole, out[k])

"""Smoothing over three frames, gates of voicing, endings: from raw frames to rows (specification, section 6)."""

from __future__ import annotations

import numpy as np

from edge_emotion.kernels._jit import Matrix32, Vector32, kernel, part

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
def mean3_column(frames: Matrix32, near: tuple[int, int, int], column: int) -> np.float32:
    """`mean3` of a column of three frames."""
    a, b, c = near
    return mean3(frames[a, column], frames[b, column], frames[c, column])


@part
def mean3_nonzero_column(frames: Matrix32, near: tuple[int, int, int], column: int) -> np.float32:
    """`mean3_nonzero` of a column of three frames."""
    a, b, c = near
    return mean3_nonzero(frames[a, column], frames[b, column], frames[c, column])


@part
def gated(short: Matrix32, long: Matrix32, frame: int, column: int, voiced: bool) -> np.float32:
    """A value of the 20 ms path where the 60 ms frame of the same index is voiced (or else unvoiced), 0 elsewhere."""
    return short[frame, column] if (long[frame, F0] > _VOICED) == voiced else np.float32(0.0)


@part
def gated_mean3(
    short: Matrix32, long: Matrix32, near: tuple[int, int, int], column: int, voiced: bool
) -> np.float32:
    """`mean3_nonzero` of a column of the 20 ms path over those of three frames that are voiced (or else unvoiced)."""
    a, b, c = near
    return mean3_nonzero(
        gated(short, long, a, column, voiced),
        gated(short, long, b, column, voiced),
        gated(short, long, c, column, voiced),
    )


@part
def gated_row(short: Matrix32, long: Matrix32, near: tuple[int, int, int], out: Vector32) -> None:
    """The 14 spectral values of a pitch row (places 14 to 27), 9 where voiced and 5 where not, of frames ``near``."""
    for k in range(14):
        column = SPECTRAL + (k if k < 9 else k - 9)
        out[14 + k] = gated_mean3(short, long, near, column, k < 9)


@part
def voice_row(short: Matrix32, long: Matrix32, near: tuple[int, int, int], out: Vector32) -> None:
    """The 14 values of a pitch row (places 0 to 13) that describe the voice and its formants, of frames ``near``."""
    for k in range(5):
        out[k] = mean3_nonzero_column(long, near, VOICE + k)
    for k in range(3):
        out[5 + 3 * k] = gated_mean3(short, long, near, FREQUENCY + k, True)
        out[6 + 3 * k] = gated_mean3(short, long, near, BANDWIDTH + k, True)
        out[7 + 3 * k] = mean3_nonzero_column(long, near, AMPLITUDE + k)


@part
def neighbours(i: int, last: int) -> tuple[int, int, int]:
    """Indices ``i`` - 1, ``i``, ``i`` + 1, each held inside 0 to ``last``."""
    return min(max(i - 1, 0), last), min(max(i, 0), last), min(max(i + 1, 0), last)


@kernel
def spectral_rows(short: Matrix32, begin: int, out: Matrix32) -> None:
    """Smoothed spectral rows ``float32 (n, 7)`` of the frames from ``begin`` on; the ends of ``short`` count twice."""
    for i in range(len(out)):
        near = neighbours(begin + i, len(short) - 1)
        out[i, 0] = mean3_column(short, near, LOUDNESS)
        for k in range(5):
            out[i, 1 + k] = mean3_column(short, near, FLUX + k)
        out[i, 6] = short[near[1], MEAN_SQUARE]


@kernel
def pitch_rows(
    short: Matrix32, long: Matrix32, begin: int, last: int, last_gated: int, f0: Vector32, out: Matrix32
) -> None:
    """Smoothed F0 ``float32 (m,)`` and the rows bound to it ``float32 (m, 28)`` of the frames from ``begin`` on.

    ``last_gated`` is the last frame that F0 and the gated spectral descriptors may look at (`OWN_FRAME`: each row its
    own), ``last`` that of all others: they differ at the end of a file.
    """
    for i in range(len(out)):
        voice_row(short, long, neighbours(begin + i, last), out[i])
        near = neighbours(begin + i, begin + i if last_gated == OWN_FRAME else last_gated)
        gated_row(short, long, near, out[i])
        f0[i] = mean3_nonzero_column(long, near, F0)


@kernel
def lld_rows(short: Matrix32, long: Matrix32, begin: int, released: int, out: Matrix32) -> None:
    """Rows of the table from ``begin`` on with the reference's ending; ``released`` frames left before the flush."""
    for k in range(len(out)):
        i = begin + k
        near = neighbours(i, (released if i <= released and released > 0 else len(long)) - 1)
        whole = neighbours(i, len(short) - 1)
        for c in range(10):
            out[k, c] = mean3_column(short, whole, c)
        for c in range(6):
            out[k, 10 + c] = mean3_nonzero_column(long, near, c)
        for f in range(3):
            out[k, 16 + 3 * f] = mean3_nonzero_column(short, near, FREQUENCY + f)
            out[k, 17 + 3 * f] = mean3_nonzero_column(short, near, BANDWIDTH + f)
            out[k, 18 + 3 * f] = mean3_nonzero_column(long, near, AMPLITUDE + f)

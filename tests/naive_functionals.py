"""Slow and obvious twins of kernels/functionals.py and kernels/descriptor_rows.py, from the specification's text."""

from __future__ import annotations

import numpy as np


def sma3nz(x):
    """Section 6 on one column, edges replicated."""
    out = []
    for i, centre in enumerate(x):
        around = [x[max(i - 1, 0)], centre, x[min(i + 1, len(x) - 1)]]
        kept = [v for v in around if v != 0]
        out.append(np.mean(kept) if centre != 0 else 0.0)
    return np.array(out)


def sma3(x):
    padded = np.concatenate([x[:1], x, x[-1:]]).astype(float)
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


def mean_and_deviation(x):
    x = np.asarray(x, float)
    if len(x) == 0:
        return 0.0, 0.0
    return x.mean(), (x.std() / x.mean() if x.std() > 0 and x.mean() != 0 else 0.0)


def extrema(x):
    """Peaks2 as (index, "max" or "min")."""
    threshold = 0.1 * (max(x) - min(x))
    found = []
    for i in range(2, len(x) - 2):
        if x[i - 1] < x[i] > x[i + 1]:
            found.append((i, "max"))
        if x[i - 1] > x[i] < x[i + 1]:
            found.append((i, "min"))
    kept, last, last_min, last_max, minimum_since = [], x[0], x[0], x[0], False
    for i, kind in found:
        y = x[i]
        close = abs(y - last) < threshold
        last = y
        if kind == "min":
            kept.append((i, kind))
            if not close:
                last_min, minimum_since = y, True
            continue
        if close:
            if y - last_min < threshold:
                continue
            if y > np.float32(1.05) * last_max:
                maxima = [k for k, (_, other) in enumerate(kept) if other == "max"]
                if maxima:
                    kept.pop(maxima[-1])
            elif not minimum_since:
                continue
        kept.append((i, kind))
        last_max, minimum_since = y, False
    deep, last_max = [], x[0]
    for i, kind in kept:
        if kind == "max":
            last_max = x[i]
        if kind == "max" or last_max - x[i] >= threshold:
            deep.append((i, kind))
    alternating = []
    for i, kind in deep:
        if not alternating or alternating[-1][1] != kind:
            alternating.append((i, kind))
        elif (x[i] - x[alternating[-1][0]]) * (1 if kind == "max" else -1) > 0:
            alternating[-1] = (i, kind)
    return alternating


def slopes(x):
    """Mean and deviation of rising, then of falling slopes, compat mode; and the peaks' count."""
    if len(x) == 0:
        return [0.0] * 4, 0
    x = [float(v) for v in x]
    found = extrema(np.array(x, np.float32))
    if not found:
        slope = (x[-1] - x[0]) / len(x)
        return ([slope, 0.0, 0.0, 0.0] if slope >= 0 else [0.0, 0.0, slope, 0.0]), 0
    slope = {"max": [], "min": []}
    before = 0
    for i, kind in found:
        rise = x[i] - x[before]
        slope[kind].append((rise if kind == "max" else -rise) / ((i - before) * 0.01))
        before = i
    end = (x[-1] - x[before]) / ((len(x) - 1 - before) * 0.01)
    out = []
    for kind in ("max", "min"):
        inner, every = slope[kind], slope[kind] + [end] * (found[-1][1] != kind)
        mean = np.mean(every) if every else 0.0
        out += [mean, np.sqrt(sum((s - mean) ** 2 for s in inner) / len(every)) if every else 0.0]
    return out, sum(kind == "max" for _, kind in found)


def segment_lengths(hits, short=1):
    """Lengths in frames of the runs of true values; gaps of one frame do not end a run."""
    filled = list(hits)
    lengths, start, count, last = [], None, 0, None
    for i, hit in enumerate([*filled, False, False]):
        if hit:
            start = i if start is None else start
            count += 1
            last = i
        elif start is not None and i - last == 2:
            if count >= 3:
                lengths.append(last + 1 - start - short)
            start, count = None, 0
    return lengths


def functionals(spectral, f0, pitch):
    """The 88 values of compat mode as ``float64``."""
    out = []

    def contour(x):
        mean, deviation = mean_and_deviation(x)
        levels = [np.percentile(np.asarray(x, float), p) if len(x) else 0.0 for p in (20, 50, 80)]
        four, peaks = slopes(x)
        out.extend([mean, deviation, *levels, levels[2] - levels[0], *four])
        return peaks

    contour(f0[f0 != 0])
    peaks = contour(spectral[:, 0])
    for k in range(1, 6):
        out.extend(mean_and_deviation(spectral[:, k]))
    for k in range(23):
        out.extend(mean_and_deviation(pitch[pitch[:, k] != 0, k]))
    out.extend(mean_and_deviation(pitch[pitch[:, k] != 0, k])[0] for k in range(23, 28))
    out.append(peaks / (len(spectral) * 0.01) if len(spectral) else 0.0)
    voiced, unvoiced = segment_lengths(f0 != 0), segment_lengths(f0 == 0)
    out.append(len(voiced) / (len(f0) * 0.01) if len(f0) else 0.0)
    for lengths in (voiced, unvoiced):
        out.extend([np.mean(lengths) * 0.01, np.std(lengths) * 0.01] if lengths else [0.0, 0.0])
    power = spectral[:, 6].astype(float).mean() if len(spectral) else 0.0
    out.append(10 * np.log10(max(power, 1e-12)))
    return np.array(out)

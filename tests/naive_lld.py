"""The low-level kernels as the specification says them: one frame, plain lists, no speed."""

from __future__ import annotations

import itertools
import math

import numpy as np


def transform(frame, window):
    n = max(16, 1 << (len(frame) - 1).bit_length())
    left = (n - len(frame)) // 2
    return np.fft.rfft(np.pad(np.float64(frame) * window, (left, n - left - len(frame))))


def mel(hertz):
    return 1127 * math.log(1 + hertz / 700)


def mel_bands(power, bin_hz, rate_hz):
    top = min(8000, rate_hz / 2)
    points = np.linspace(mel(20), mel(top), 28)
    bands = np.zeros(26)
    for k in range(math.floor(20 / bin_hz + 0.5) + 1, math.floor(top / bin_hz + 0.5)):
        m = mel(k * bin_hz)
        for b in range(26):
            low, centre, high = points[b : b + 3]
            if low <= m < centre:
                bands[b] += power[k] * (m - low) / (centre - low)
            elif centre <= m < high:
                bands[b] += power[k] * (high - m) / (high - centre)
    return bands, 700 * (np.exp(points[1:-1] / 1127) - 1)


def slope(level, bin_hz, low, high):
    left, right = math.floor(low / bin_hz), math.floor(high / bin_hz)
    weights = dict.fromkeys(range(left, right + 1), 1.0)
    above = min(k for k in range(len(level) + 1) if k * bin_hz >= high)
    weights[left] = ((left + 1) * bin_hz - low) / bin_hz or 1.0
    weights[right] = (high - (above - 1) * bin_hz) / bin_hz or 1.0
    s = sum(w * k * bin_hz for k, w in weights.items())
    s2 = sum((w * k * bin_hz) ** 2 for k, w in weights.items())
    a = sum(w * k * bin_hz * level[k] for k, w in weights.items())
    b = sum(w * level[k] for k, w in weights.items())
    n = right - left
    return (n * a - s * b) / (n * s2 - s * s)


def describe_spectrum(magnitude, before, fft_size, rate_hz):
    bin_hz = rate_hz / fft_size
    power = np.float64(magnitude) ** 2
    f = np.arange(len(power)) * bin_hz
    bands, centre = mel_bands(power, bin_hz, rate_hz)
    w = 2 * np.pi * centre
    loudness = 1e32 * (w**2 + 56.8e6) * w**4 / ((w**2 + 6.3e6) ** 2 * (w**2 + 0.38e9) * (w**7 + 1.7e31))
    logs = np.log(np.maximum(bands * 32767**2, 1))
    level = 10 * np.log10(np.maximum(power, 1e-14))
    low, middle = power[f < 1000].sum(), power[(f >= 1000) & (f <= 5000)].sum()
    peaks = power[f < 2000].max(), power[(f >= 2000) & (f <= 5000)].max()
    cepstrum = [
        math.sqrt(2 / 26)
        * sum(logs[m] * math.cos(math.pi * i * (m + 0.5) / 26) for m in range(26))
        * (1 + 11 * math.sin(math.pi * i / 22))
        for i in range(1, 5)
    ]
    return [
        np.mean((np.maximum(bands, 9.3e-10) * loudness) ** 0.33),
        10 * math.log10(max(middle / low, 1e-14)) if low > 0 else 0,
        10 * math.log10(peaks[0] / peaks[1]) if min(peaks) > 0 else 0,
        slope(level, bin_hz, 0, 500),
        slope(level, bin_hz, 500, 1500),
        math.sqrt(np.mean((np.float64(magnitude) - before)[f < 5000] ** 2)),
        *cepstrum,
    ]


def natural_spline(x, y, at):
    """Second derivatives by a dense solve, then the cubic of each point's interval."""
    n, h = len(x), np.diff(x)
    system, right = np.eye(n), np.zeros(n)
    for k in range(1, n - 1):
        system[k, k - 1 : k + 2] = h[k - 1], 2 * (h[k - 1] + h[k]), h[k]
        right[k] = 6 * ((y[k + 1] - y[k]) / h[k] - (y[k] - y[k - 1]) / h[k - 1])
    bend = np.linalg.solve(system, right)
    out = []
    for point in at:
        k = min(max(int(np.searchsorted(x, point, side="right")) - 1, 0), n - 2)
        b = (point - x[k]) / h[k]
        a = 1 - b
        cubic = ((a**3 - a) * bend[k] + (b**3 - b) * bend[k + 1]) * h[k] ** 2 / 6
        out.append(a * y[k] + b * y[k + 1] + cubic)
    return np.array(out)


def enhance(m):
    n = len(m)
    peaks = [
        k
        for k in range(n)
        if (k == 0 and m[0] > m[1])
        or (k == n - 1 and m[k] > m[k - 1])
        or (0 < k < n - 1 and m[k] > m[k - 1] and m[k] >= m[k + 1])
    ]
    kept = np.float64(m)
    for p, q in itertools.pairwise(peaks):
        kept[p + 3 : max(q - 2, p + 3)] = 0
    smooth = kept.copy()
    for k in range(n - 1):
        smooth[k] = ((kept[k - 1] if k else 0) + 2 * kept[k] + kept[k + 1]) / 4
    return smooth


def candidates(magnitude, fft_size, rate_hz):
    """Pairs (Hz, voicing) of up to six candidates."""
    n = len(magnitude)
    x = np.log2(np.maximum(np.arange(n), 1) * rate_hz / fft_size)
    x[0] = 2 * x[1] - x[2]
    axis = np.linspace(math.log2(25), math.log2(rate_hz / 2), n)
    per_octave = n / (axis[-1] - axis[0])
    s = per_octave * math.log2(65 / 50) - 1
    weight = 0.5 + np.arctan(3 * (np.arange(n) + 1 - s) / per_octave) / math.pi
    spectrum = np.maximum(natural_spline(x, enhance(magnitude), axis), 0) * weight
    total = np.zeros(n)
    for h in range(1, 16):
        shift = math.floor(per_octave * math.log2(h))
        total[: n - shift] += 0.85 ** (h - 1) * spectrum[shift:] / 15
    peaks = [i for i in range(1, n - 1) if total[i] > total[i - 1] and total[i] > total[i + 1]]
    found = []
    for i in sorted(peaks, key=lambda i: -total[i])[:6]:
        a, b, c = total[i - 1 : i + 2]
        offset = 0.5 * (a - c) / (a - 2 * b + c)
        height = b - 0.25 * (a - c) * offset
        hertz = 2 ** (axis[0] + (i + offset) * (axis[1] - axis[0]))
        if 55 <= hertz <= 1000:
            found.append((height, hertz, max(1 - total.mean() / height, 0)))
    if found:
        best = max(range(len(found)), key=lambda j: found[j][0])
        found[0], found[best] = found[best], found[0]
    return [(hertz, voicing) for _, hertz, voicing in found]


def viterbi(frames):
    """Fundamentals of frames of six (Hz, voicing) each, and how many were released before the end."""
    cost, paths, last, change = [0.0] * 7, [[] for _ in range(7)], None, 1.0
    out: list[float] = []
    for frame in frames:
        own = []
        for hertz, voicing in frame:
            g = 1.2
            if hertz <= 0:
                g = 2
            elif hertz < 100:
                g = 1 - hertz / 100
            elif hertz < 350:
                g = 0
            elif hertz < 600:
                g = (hertz - 350) / 250
            own.append(2 * (-math.log(min(max(voicing, 0.01), 1)) + (4 if voicing < 0.7 else 0)) + g)
        own.append(8.0 if any(voicing >= 0.7 for _, voicing in frame) else 0.0)
        new_cost, new_paths = [], []
        for i in range(7):
            ways = []
            for j in range(7):
                if last is None:
                    ways.append(0.0)
                elif i < 6 and j < 6:
                    if frame[i][0] == 0 or last[j][0] == 0:
                        step = 999.0
                    else:
                        r = math.log(frame[i][0]) - math.log(last[j][0])
                        step = 10 * abs(r) + 10 * abs(r - change)
                        change = r
                    ways.append(cost[j] + step)
                else:
                    if i != j:
                        change = 0.0
                    ways.append(cost[j] + (1.0 if i == j else 10.0))
            best = ways.index(min(ways))
            new_cost.append(ways[best] + own[i])
            new_paths.append([*(paths[best] if last is not None else []), (i, frame[i][0] if i < 6 else 0.0)])
        cost, paths, last = new_cost, new_paths, frame
        ready = 1
        if len(paths[0]) < 40:
            agreed = [all(p[k] == paths[0][k] for p in paths) for k in range(len(paths[0]))]
            ready = agreed.index(False) if False in agreed else len(agreed)
        out += [hertz for _, hertz in paths[cost.index(min(cost))][:ready]]
        paths = [p[ready:] for p in paths]
    released = len(out)
    return out + [hertz for _, hertz in paths[cost.index(min(cost))]], released


def similarity(x, s, q):
    a, b = np.float64(x[s : s + q]), np.float64(x[s + q : s + 2 * q])
    a, b = a - a.mean(), b - b.mean()
    power = (a @ a) * (b @ b)
    return a @ b / math.sqrt(power) if power > 0 else 0.0


def vary(x, rate_hz, hop, step, length, pitches):
    """Jitter and shimmer (dB) of each frame."""
    at = missed = 0
    last, jitter, shimmer = 0.0, 0.0, 0.0
    rows = []
    for t, hertz in enumerate(pitches):
        start = t * hop
        period = rate_hz / hertz if hertz else 0
        low, high = math.floor(0.9 * period), math.ceil(1.1 * period)
        wanted = max(step + missed, 2 * high + 2) if hertz else step + missed
        limit = missed + length
        if start - missed != at:
            at, limit = start, length
        wanted = min(wanted, limit)
        if not hertz:
            at, missed, last, jitter, shimmer = at + wanted, 0, 0.0, 0.0, 0.0
            rows.append((0.0, 0.0))
            continue
        part = x[at : at + wanted]
        s = walked = 0
        lengths, changes, swings = [], [], []
        while s < wanted - 2 * high - 1:
            cc = [similarity(part, s, q) for q in range(low, high + 1)]
            inner = [i for i in range(1, high - low - 1) if cc[i] > cc[i - 1] and cc[i] > cc[i + 1]]
            if not inner:
                s += math.floor(period + 0.5)
            else:
                best = max(inner, key=lambda i: cc[i])
                q = low + best
                a, b, c = cc[best - 1 : best + 2]
                offset = 0.5 * (a - c) / (a - 2 * b + c)
                if b - 0.25 * (a - c) * offset > 0.5:
                    lengths.append((q + offset) / rate_hz)
                    if last > 0:
                        changes.append(abs(lengths[-1] - last))
                    last = lengths[-1]
                    swings.append([np.ptp(part[s + o + 1 : s + o + q - 1]) for o in (0, q)])
                s += q
            if s < step + missed - 1:
                walked = s
        if lengths:
            jitter = min(np.mean(changes) / np.mean(lengths), 1) if changes else 0.0
            one, two = np.float64(swings).T
            shimmer = min(np.mean(abs(two - one)) / np.mean((one + two) / 2), 1) if (one + two).any() else 0.0
        missed, at = step + missed - walked, at + walked
        rows.append((jitter, 20 * math.log10(1 + shimmer)))
    return rows


def is_peak(m, k):
    return 0 < k < len(m) - 1 and m[k] > m[k - 1] and m[k] > m[k + 1]


def harmonics(magnitude, correlation, hertz, formants, bin_hz):
    """HNR, H1-H2, H1-A3 and the three amplitudes of a frame, compat mode."""
    if not hertz:
        return [0, 0, 0, -201, -201, -201]
    m = np.float64(magnitude)
    lag = int(bin_hz * 2 * (len(m) - 1) / hertz)
    peaks = [k for k in range(len(m)) if is_peak(correlation, k)]
    if peaks:
        lag = min(peaks, key=lambda k: (abs(k - lag), k))
    ratio = correlation[lag] / (correlation[0] - correlation[lag])
    hnr = 10 * math.log10(min(max(ratio, 1e-9), 1e11))

    def nearest(f):
        above = math.floor(f / bin_hz) + 1
        if above >= len(m):
            return len(m) - 1
        return above - 1 if f - (above - 1) * bin_hz < above * bin_hz - f else above

    level, frequency, height = [-200.0] * 100, [0.0] * 100, [0.0] * 100
    used, reference = -1, 0.0
    for h in range(1, 101):
        if h * hertz >= bin_hz * (len(m) - 1):
            break
        start = nearest(h * hertz)
        first, last = nearest((h - 0.5) * hertz), min(nearest((h + 0.5) * hertz), len(m) - 2)
        near = [k for k in range(first, last + 1) if is_peak(m, k)]
        if is_peak(m, start):
            near = [start]
        if not near:
            if h == 1:
                level = [-201.0] * 100
                break
            continue
        k = min(near, key=lambda k: (abs(k - start), -k))
        if k == used:
            level[h - 1] = -201.0
            continue
        used = k
        reference = reference or m[k]
        a, b, c = m[k - 1 : k + 2]
        offset = 0.5 * (a - c) / (a - 2 * b + c)
        frequency[h - 1], height[h - 1] = (k + offset) * bin_hz, b
        level[h - 1] = max(20 * math.log10((b - 0.25 * (a - c) * offset) / reference), -200)

    def strongest(f):
        inside = [h for h in range(100) if 0.8 * f <= frequency[h] <= 1.2 * f and height[h] > 0]
        return max(inside, key=lambda h: height[h], default=0)

    def limit(x):
        return min(max(x, -201), 201)

    third = strongest(formants[2])
    return [
        hnr,
        limit(level[1] - level[2]),
        limit(level[1] - (level[third] if third else -201)),
        *(level[strongest(f)] if strongest(f) else 0.0 for f in formants),
    ]


def formants(spectrum, fft_size, rate_hz):
    """Frequencies and bandwidths of F1 to F3, compat mode, in double precision."""
    period = fft_size * 11000 / rate_hz
    i = np.arange(220)
    wave = np.full(220, spectrum[0].real)
    for k in range(1, 110):
        angle = 2 * np.pi * k * i / period
        wave += spectrum[k].real * np.cos(angle) - spectrum[k].imag * np.sin(angle)
    lags = np.array([wave[lag:] @ wave[: 220 - lag] for lag in range(12)])
    if lags[0] <= 0:
        return [0.0] * 6
    system = np.array([[lags[abs(a - b)] for a in range(11)] for b in range(11)])
    return resonances(np.linalg.solve(system, -lags[1:]) * -1.0)


def resonances(coefficients):
    """Of z^11 + c1 z^10 + ... + c11."""
    found = []
    for z in np.roots([1.0, *coefficients]):
        z = z if abs(z) <= 1 else 1 / np.conj(z)
        hertz = abs(np.angle(z)) * 11000 / (2 * np.pi)
        if z.imag >= 0 and 50 <= hertz <= 5450:
            found.append((hertz, -math.log(abs(z)) * 11000 / math.pi))
    found = [*sorted(found)[:3], *[(0.0, 0.0)] * 3][:3]
    return [f for f, _ in found] + [b for _, b in found]

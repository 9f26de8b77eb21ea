"""Which candidate is the fundamental: a Viterbi search over frames that releases them as soon as its paths agree.

Section 3 of the descriptor specification.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_emotion.kernels._jit import Indices, Matrix32, Vector32, Vector64, kernel, part
from edge_emotion.kernels.pitch import CANDIDATES

UNVOICED = CANDIDATES
STATES = CANDIDATES + 1
LONGEST_WAIT = 40
"""The search holds back fewer frames than this."""

_VOICED = 0.7
_COST_LIMIT = 2.0**20


class Trellis(NamedTuple):
    """What the search remembers between frames."""

    cost: Vector64
    """Of the best path into each state."""
    paths: Matrix32
    """(STATES, LONGEST_WAIT): the fundamentals (Hz) on each of these paths, oldest first.

    0 is unvoiced. A candidate's place that was empty is -1 and less: paths agree on states, not only on fundamentals.
    """
    pitch: Vector64
    """Natural logarithms of the last frame's candidates, NaN for an empty place."""
    last_change: Vector64
    """One number: the last step in log pitch that was weighed, in the order of evaluation, whatever path it was on."""
    seen: Indices
    """Two counts: frames seen, frames released."""
    next_cost: Vector64
    """From here on room for the frame that is being weighed; `origin` is the state before each state."""
    origin: Indices
    next_pitch: Vector64
    next_paths: Matrix32


def new_trellis() -> Trellis:
    """A search that has seen nothing."""
    return Trellis(
        cost=np.zeros(STATES),
        paths=np.zeros((STATES, LONGEST_WAIT), np.float32),
        pitch=np.zeros(CANDIDATES),
        last_change=np.ones(1),
        seen=np.zeros(2, np.int64),
        next_cost=np.zeros(STATES),
        origin=np.zeros(STATES, np.int64),
        next_pitch=np.zeros(CANDIDATES),
        next_paths=np.zeros((STATES, LONGEST_WAIT), np.float32),
    )


@kernel
def search(hertz: Matrix32, voicing: Matrix32, trellis: Trellis, released: Vector32) -> int:
    """Weigh frames of candidates; the fundamentals (Hz, 0 unvoiced) that are now certain go to ``released``.

    Returns how many. At most as many are released as frames were handed over and held back.
    """
    pitch = trellis.next_pitch
    count = 0
    for t in range(hertz.shape[0]):
        pending = trellis.seen[0] - trellis.seen[1]
        for c in range(CANDIDATES):
            pitch[c] = math.log(hertz[t, c]) if hertz[t, c] > 0.0 else np.nan
        _weigh(trellis)
        _extend(hertz[t], voicing[t], trellis, pending)
        for c in range(CANDIDATES):
            trellis.pitch[c] = pitch[c]
        trellis.seen[0] += 1
        ready = _agreed(trellis.paths, pending + 1)
        if pending + 1 == LONGEST_WAIT:
            ready = 1
        _release(trellis, pending + 1, ready, released[count:])
        count += ready
    return count


@kernel
def flush(trellis: Trellis, released: Vector32) -> int:
    """End of input: the best path's fundamentals that were still held back, returns how many."""
    pending = trellis.seen[0] - trellis.seen[1]
    _release(trellis, pending, pending, released)
    return pending


@part
def _weigh(trellis: Trellis) -> None:
    """Cheapest way into each state from the last frame's states; of equal ones the first."""
    pitch, cost, origin = trellis.next_pitch, trellis.next_cost, trellis.origin
    change = trellis.last_change[0]
    for s in range(STATES):
        cost[s], origin[s] = np.inf, s
        if trellis.seen[0] == 0:
            cost[s] = 0.0
            continue
        for p in range(STATES):
            step = 10.0
            if s < UNVOICED and p < UNVOICED:
                ratio = pitch[s] - trellis.pitch[p]
                if ratio == ratio:
                    step = 10.0 * abs(ratio) + 10.0 * abs(ratio - change)
                    change = ratio
                else:  # an empty place
                    step = 999.0
            elif s == UNVOICED and p == UNVOICED:
                step = 1.0
            else:
                change = 0.0
            if trellis.cost[p] + step < cost[s]:
                cost[s], origin[s] = trellis.cost[p] + step, p
    trellis.last_change[0] = change


@part
def _extend(hertz: Vector32, voicing: Vector32, trellis: Trellis, pending: int) -> None:
    """Add this frame's own costs and make its states the ends of the paths."""
    cost, origin, paths = trellis.next_cost, trellis.origin, trellis.next_paths
    any_voiced = False
    for c in range(CANDIDATES):
        cost[c] += _candidate_cost(float(hertz[c]), float(voicing[c]))
        any_voiced = any_voiced or voicing[c] >= _VOICED
    if any_voiced:
        cost[UNVOICED] += 8.0
    for s in range(STATES):
        for i in range(pending):
            paths[s, i] = trellis.paths[origin[s], i]
    lowest = np.inf
    for s in range(STATES):
        for i in range(pending):
            trellis.paths[s, i] = paths[s, i]
        last = np.float32(0.0)
        if s < UNVOICED:
            last = hertz[s] if hertz[s] > 0.0 else np.float32(-1 - s)
        trellis.paths[s, pending] = last
        lowest = min(lowest, cost[s])
    # Sums stay exact over days: a power of two is taken off all alike.
    surplus = _COST_LIMIT if lowest > _COST_LIMIT else 0.0
    for s in range(STATES):
        trellis.cost[s] = cost[s] - surplus


@part
def _candidate_cost(hertz: float, voicing: float) -> float:
    range_cost = 1.2
    if hertz <= 0.0:
        range_cost = 2.0
    elif hertz < 100.0:
        range_cost = 1.0 - hertz / 100.0
    elif hertz < 350.0:
        range_cost = 0.0
    elif hertz < 600.0:
        range_cost = (hertz - 350.0) / 250.0
    voicing_cost = -math.log(min(max(voicing, 0.01), 1.0))
    if voicing < _VOICED:
        voicing_cost += 4.0
    return 2.0 * voicing_cost + range_cost


@part
def _agreed(paths: Matrix32, pending: int) -> int:
    """Leading frames on which all paths are one."""
    for i in range(pending):
        for s in range(1, STATES):
            if paths[s, i] != paths[0, i]:
                return i
    return pending


@part
def _release(trellis: Trellis, pending: int, count: int, released: Vector32) -> None:
    """Hand over the first ``count`` frames of the cheapest path and forget them."""
    best = 0
    for s in range(1, STATES):
        if trellis.cost[s] < trellis.cost[best]:
            best = s
    for i in range(count):
        released[i] = max(trellis.paths[best, i], np.float32(0.0))
    for s in range(STATES):
        for i in range(pending - count):
            trellis.paths[s, i] = trellis.paths[s, i + count]
    trellis.seen[1] += count

"""When a picture of a network camera was taken, from when it arrived and from what the camera says."""

from __future__ import annotations

JUMP_NS = 2_000_000_000
LEAK = 1e-3
PLAUSIBLE_S = 5.0
"""A camera whose clock says that its pictures are older has a clock that is not ours."""
STEADY_S = 5.0


class StreamClock:
    """Presentation times to monotonic times: whatever arrives late was not taken late.

    Arrival less presentation time is a constant and the delay on the way, which is never negative; the least of it is
    followed downwards at once and upwards by 1 ms in a second, so that clocks may drift. What is common to all
    pictures, the camera's own delay, cannot be seen in that.
    """

    def __init__(self) -> None:
        self._offset_ns: float | None = None
        self._last_ns = 0

    def time_ns(self, presentation_ns: int, arrival_ns: int) -> int:
        """Monotonic time of a picture, not later than its arrival."""
        offset_ns = arrival_ns - presentation_ns
        if self._offset_ns is None or abs(offset_ns - self._offset_ns) > JUMP_NS:
            self._offset_ns = offset_ns  # the first picture, or the stream began anew
        else:
            leaked_ns = self._offset_ns + LEAK * (arrival_ns - self._last_ns)
            self._offset_ns = min(offset_ns, leaked_ns)
        self._last_ns = arrival_ns
        return presentation_ns + round(self._offset_ns)


class SenderClock:
    """The delay that a camera's own wall clock tells of (RTCP sender reports): the least of the last seconds.

    It is the truth only where both clocks are right, which nobody here can know.
    """

    def __init__(self) -> None:
        self.delay_s: float | None = None
        """None before the first `STEADY_S` are over, and where it is not plausible."""
        self._least_s = float("inf")
        self._since_s: float | None = None

    def push(self, sent_s: float, arrival_s: float) -> None:
        """A picture was taken at ``sent_s`` by the camera's clock, and arrived at ``arrival_s`` by ours."""
        self._least_s = min(self._least_s, arrival_s - sent_s)
        if self._since_s is None:
            self._since_s = arrival_s
        if not 0 <= arrival_s - self._since_s < STEADY_S:
            self.delay_s = self._least_s if abs(self._least_s) <= PLAUSIBLE_S else None
            self._least_s, self._since_s = float("inf"), arrival_s

"""Where the time goes: named spans on a clock that is handed in, at no cost where nobody asks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from edge_emotion.types import U8, FaceBox, FaceDetector

OnSpan = Callable[[str, int, int], None]
"""Called with name, start and end when a span ends; spans within a span end before it."""
_NOTHING = nullcontext()


class Spans:
    """Makes spans: ``with spans("cnn"): ...``.

    Parameters
    ----------
    on_span
        Receives each span; ``None`` switches them off.
    clock_ns
        Time in nanoseconds, such as ``time.perf_counter_ns``: the library itself has no clock.
    """

    def __init__(self, on_span: OnSpan | None = None, clock_ns: Callable[[], int] | None = None) -> None:
        self._on_span = on_span
        self._clock_ns = clock_ns

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """A span around the body of a ``with`` statement."""
        if self._on_span is None or self._clock_ns is None:
            return _NOTHING
        return _Span(name, self._on_span, self._clock_ns)


class _Span(AbstractContextManager[None]):
    def __init__(self, name: str, on_span: OnSpan, clock_ns: Callable[[], int]) -> None:
        self._name, self._on_span, self._clock_ns = name, on_span, clock_ns

    def __enter__(self) -> None:
        self._start_ns = self._clock_ns()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._on_span(self._name, self._start_ns, self._clock_ns())


class TimedDetector:
    """A face detector whose calls are spans named ``detect``."""

    def __init__(self, detector: FaceDetector, spans: Spans) -> None:
        self._detector, self._spans = detector, spans

    def compute(self, image: U8) -> list[FaceBox]:
        """As the detector's own."""
        with self._spans("detect"):
            return self._detector.compute(image)

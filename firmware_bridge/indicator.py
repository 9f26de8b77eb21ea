"""The light that tells people: on before a device opens, off after the last has closed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from edge_emotion.errors import EdgeEmotionError

LEDS = Path("/sys/class/leds")


class IndicatorError(EdgeEmotionError):
    """The light cannot be switched."""


class Indicator(Protocol):
    """A light."""

    def switch(self, on: bool) -> None:
        """Switch it; raises `IndicatorError` where that is not certain to have worked."""
        ...


class NoIndicator:
    """No light at all."""

    def switch(self, on: bool) -> None:
        """Nothing to switch."""


class Led:
    """An LED of the kernel's LED class; what it did before is lost (its trigger is set to ``none``)."""

    def __init__(self, name: str, root: Path = LEDS) -> None:
        self._folder = root / name

    def switch(self, on: bool) -> None:
        """Full brightness or none, read back."""
        brightness = self._folder / "brightness"
        try:
            full = (self._folder / "max_brightness").read_text().strip()
            with contextlib.suppress(FileNotFoundError):
                (self._folder / "trigger").write_text("none")
            brightness.write_text(full if on else "0")
            shown = brightness.read_text().strip()
        except OSError as error:
            known = ", ".join(sorted(path.name for path in self._folder.parent.glob("*"))) or "none"
            remedy = f"LEDs here: {known}; units/drop-ins/led.conf gives the right to switch one"
            raise IndicatorError(f"LED {self._folder.name!r}: {error.strerror}; {remedy}") from None
        if (shown != "0") != on:
            raise IndicatorError(
                f"LED {self._folder.name!r}: stays {'dark' if on else 'lit'}; choose another"
            )

"""Live meters in the terminal: an output for people, no broker needed."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge_emotion.cli.run import stdout
from edge_emotion.types import Reading
from firmware_bridge.faults import Faults, State

WIDTH = 41


def meter(value: float | None, sigma: float | None) -> Text:
    """A scale from -1 to 1 with the estimate and its standard error."""
    cells = ["·"] * WIDTH
    cells[WIDTH // 2] = "│"
    if value is None or sigma is None:
        return Text("".join(cells) + "    —", style="dim")

    def place(at: float) -> int:
        return round((max(-1.0, min(1.0, at)) + 1) / 2 * (WIDTH - 1))

    for cell in range(place(value - sigma), place(value + sigma) + 1):
        cells[cell] = "─"
    cells[place(value)] = "●"
    return Text("".join(cells) + f" {value:+.2f} ± {sigma:.2f}")


class Meters:
    """The newest reading as meters."""

    def __init__(self) -> None:
        self._reading: Reading | None = None
        self._held: dict[str, str] = {}
        self._state: State = "init"
        self._live = Live(get_renderable=self._draw, console=stdout, refresh_per_second=8, transient=True)
        self._live.start()

    def reading(self, reading: Reading, body: bytes) -> None:
        """Shown at the next refresh."""
        if "multi_face" not in reading.quality or reading.audio.used:
            self._reading = reading

    def history(self, body: bytes, now_ns: int) -> None:
        """Meters have no memory."""

    def message(self, kind: str, body: bytes, *, retained: bool) -> None:
        """Not for people."""

    def state(self, state: State, reasons: int) -> None:
        """Shown at the next refresh."""
        self._state = state

    def poll(self, faults: Faults) -> None:
        """Faults are shown with their details."""
        self._held = faults.held()

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        lines: list[RenderableType] = [
            Text(f"{self._state}   estimated expressed emotion, Ctrl-C ends", style="bold")
        ]
        reading = self._reading
        if reading is not None:
            table = Table.grid(padding=(0, 2))
            table.add_row("arousal", meter(reading.arousal, reading.sigma_arousal))
            table.add_row("valence", meter(reading.valence, reading.sigma_valence))
            confidence = "—" if reading.confidence is None else f"{reading.confidence:.0%}"
            table.add_row("confidence", confidence)
            table.add_row(
                "sound", _facts(reading.audio.used, reading.audio.weight, dict(reading.audio.facts))
            )
            table.add_row(
                "picture", _facts(reading.video.used, reading.video.weight, dict(reading.video.facts))
            )
            table.add_row("doubts", ", ".join(reading.quality) or "none")
            lines.append(table)
        lines += [Text(f"{code}: {detail}", style="yellow") for code, detail in self._held.items()]
        return Group(*lines)


def _facts(used: bool, weight: float, facts: dict[str, float | None]) -> str:
    known = ", ".join(f"{name} {value:.3g}" for name, value in facts.items() if value is not None)
    return f"{weight:.0%}   {known}" if used else f"not used   {known}"

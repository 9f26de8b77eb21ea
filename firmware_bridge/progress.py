"""Which stages come round, and which are stuck: what the watchdog is fed with."""

from __future__ import annotations

import time


class Stage:
    """One thread's promise to come round within its budget."""

    def __init__(self, name: str, budget_s: float) -> None:
        self.name = name
        self.budget_s = budget_s
        self.last_ns = time.monotonic_ns()

    def mark(self) -> None:
        """The stage came round."""
        self.last_ns = time.monotonic_ns()


class Progress:
    """All required stages."""

    def __init__(self) -> None:
        self._stages: list[Stage] = []

    def stage(self, name: str, budget_s: float) -> Stage:
        """A new required stage, that has just come round.

        A stage whose device is away still comes round: it is degraded, not stuck.
        """
        stage = Stage(name, budget_s)
        self._stages.append(stage)
        return stage

    def drop(self, stage: Stage) -> None:
        """The stage is over and not required any more."""
        self._stages.remove(stage)

    def stuck(self, now_ns: int | None = None) -> list[str]:
        """Names of the stages that are over their budget."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        return [stage.name for stage in list(self._stages) if now_ns - stage.last_ns > stage.budget_s * 1e9]

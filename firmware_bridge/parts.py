"""The parts of a daemon, and how they are put together from the settings."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from edge_emotion import folders
from edge_emotion.reading_json import Origin
from firmware_bridge import calibration, machine
from firmware_bridge.engine import Engine, Loaded, OpenPipeline, open_best, open_pipeline
from firmware_bridge.faults import Faults
from firmware_bridge.history import AT_RISK_S, History
from firmware_bridge.inbox import Inbox
from firmware_bridge.indicator import Indicator, Led, NoIndicator
from firmware_bridge.mqtt import Connection
from firmware_bridge.outputs import Broker, Microcontroller, Output, Stdout, topic_root
from firmware_bridge.progress import Progress, Stage
from firmware_bridge.reporter import Reporter
from firmware_bridge.senses import Senses
from firmware_bridge.serial_link import SerialLink
from firmware_bridge.settings import Settings
from firmware_bridge.spool import Spool, SpoolError
from firmware_bridge.vitals import Timings, Vitals

log = logging.getLogger(__name__)

LOAD_BUDGET_S = 120.0
INFERENCE_BUDGET_S = 10.0
SERIAL_BUDGET_S = 20.0


@dataclass(slots=True)
class Hooks:
    """What the parts call back."""

    ready: Callable[[], None]
    ended: Callable[[], None]
    heard: Callable[[str, bytes, bool], None]
    button: Callable[[str], None]


@dataclass(slots=True)
class Parts:
    """Everything that a daemon is made of; nothing runs yet."""

    faults: Faults
    progress: Progress
    inbox: Inbox
    history: History | None
    connection: Connection | None
    link: SerialLink | None
    outputs: Sequence[Output]
    reporter: Reporter
    inference: Stage
    engine: Engine
    indicator: Indicator
    senses: Senses
    vitals: Vitals


def assemble(
    settings: Settings,
    faults: Faults,
    hooks: Hooks,
    open_one: OpenPipeline | None = None,
    outputs: Sequence[Output] | None = None,
) -> Parts:
    """Make every part that the settings ask for.

    Parameters
    ----------
    open_one
        Opens a pipeline on a bundle, in place of the real one.
    outputs
        In place of those that the settings ask for; the broker is left alone then.
    """
    progress, inbox, boot = Progress(), Inbox(), secrets.token_hex(4)
    log.info("run %s begins", boot)
    history = previous = connection = link = None
    if "serial" in settings.output or settings.indicator.kind == "serial":
        link = SerialLink(settings.serial, faults, progress.stage("serial", SERIAL_BUDGET_S), hooks.button)
    if outputs is None:
        if "mqtt" in settings.output:
            history = _history(settings)
            previous = _begin_run(settings, history, boot, faults)
            connection = Connection(
                settings.mqtt,
                settings.instance,
                topic_root(settings),
                history,
                settings.history.in_flight,
                hooks.heard,
            )
        outputs = _outputs(settings, connection, history, link)
    reporter = Reporter(settings, boot, outputs, faults, previous)
    reporter.clock = machine.clock()
    inference = progress.stage("inference", LOAD_BUDGET_S)
    timings = Timings()

    def ready(loaded: Loaded) -> None:
        reporter.origin = Origin(settings.device, boot, loaded.model_id, loaded.sha256)
        inference.mark()
        inference.budget_s = INFERENCE_BUDGET_S
        if loaded.learner is not None and settings.calibration.enabled:
            calibration.load(loaded.learner, settings.calibration.file, faults)
        faults.start()
        hooks.ready()

    open_one = open_one or partial(open_pipeline, timings=timings if settings.metrics.port else None)
    load = partial(open_best, settings, folders.state() / "last-good-bundle", faults, open_one)
    engine = Engine(load, inbox, inference, on_ready=ready, on_reading=reporter.reading)
    indicator = _indicator(settings, link)
    senses = Senses(settings, inbox, faults, progress, indicator, hooks.ended)
    vitals = Vitals(inbox, engine, connection, history, timings)
    return Parts(
        faults=faults,
        progress=progress,
        inbox=inbox,
        history=history,
        connection=connection,
        link=link,
        outputs=outputs,
        reporter=reporter,
        inference=inference,
        engine=engine,
        indicator=indicator,
        senses=senses,
        vitals=vitals,
    )


def _history(settings: Settings) -> History:
    kept = settings.history
    if kept.rate_hz <= 0:
        return History(None)
    path = kept.file or folders.state() / "spool.sqlite"
    max_age_s = kept.max_age_h * 3600
    return History(
        partial(Spool, path, max_bytes=kept.max_bytes, max_age_s=max_age_s, uptime_s=time.monotonic)
    )


def _begin_run(settings: Settings, history: History, boot: str, faults: Faults) -> dict[str, Any] | None:
    """Note the run in the spool; tells of the run before if that was killed."""
    if history.spool is None:
        return None
    if history.spool.set_aside is not None:
        faults.hold("spool_set_aside", f"the spool was damaged; it is kept as {history.spool.set_aside}")
    try:
        before = history.spool.begin_run(boot)
    except SpoolError as error:
        log.warning("%s", error)
        return None
    if before is None or before.clean:
        return None
    at_risk = round(AT_RISK_S * settings.history.rate_hz)
    log.warning("run %s was killed: up to %d readings of its history may be missing", before.boot, at_risk)
    return {"boot": before.boot, "ended": "killed", "history_at_risk": at_risk}


def _outputs(
    settings: Settings, connection: Connection | None, history: History | None, link: SerialLink | None
) -> list[Output]:
    outputs: list[Output] = []
    if connection is not None:
        outputs.append(Broker(connection, history if settings.history.rate_hz > 0 else None))
    if "stdout" in settings.output:
        outputs.append(Stdout())
    if "serial" in settings.output and link is not None:
        outputs.append(Microcontroller(link))
    return outputs


def _indicator(settings: Settings, link: SerialLink | None) -> Indicator:
    wanted = settings.indicator
    if wanted.kind == "led" and wanted.led:
        return Led(wanted.led)
    return link if wanted.kind == "serial" and link is not None else NoIndicator()

"""Camera and microphone as one thing that is open or closed, never open without its light."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from firmware_bridge.camera import Camera
from firmware_bridge.faults import Faults
from firmware_bridge.inbox import Inbox
from firmware_bridge.indicator import Indicator, IndicatorError
from firmware_bridge.microphone import Microphone
from firmware_bridge.progress import Progress, Stage
from firmware_bridge.settings import Settings

log = logging.getLogger(__name__)

MICROPHONE_BUDGET_S = 20.0
CAMERA_BUDGET_S = 30.0
REPLAY_BUDGET_S = 10.0


class _Device(Protocol):
    def start(self) -> None: ...
    def close(self) -> bool: ...


class Senses:
    """Opens and closes the devices of the settings; the indicator goes on before the first and off after the last."""

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        faults: Faults,
        progress: Progress,
        indicator: Indicator,
        on_end: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._faults = faults
        self._progress = progress
        self._indicator = indicator
        self._on_end = on_end
        self._devices: list[tuple[_Device, Stage]] = []
        self.is_open = False

    def open(self) -> bool:
        """Light on, devices open; returns False where no light means no sensing."""
        if self.is_open:
            return True
        try:
            self._indicator.switch(True)
        except IndicatorError as error:
            if self._settings.indicator.required:
                self._faults.hold("no_indicator", str(error))
                return False
            self._faults.hold("indicator_failed", str(error))
        else:
            self._faults.clear("no_indicator")
            self._faults.clear("indicator_failed")
        self._make()
        for device, _ in self._devices:
            device.start()
        self.is_open = True
        return True

    def _make(self) -> None:
        settings = self._settings
        if settings.replay is not None:
            from firmware_bridge.replay import Replay

            stage = self._progress.stage("replay", REPLAY_BUDGET_S)
            put_audio, put_video = self._inbox.put_audio, self._inbox.put_video
            replay = Replay(settings.replay, put_audio, put_video, self._faults, stage, self._on_end)
            self._devices.append((replay, stage))
            return
        if settings.microphone.device != "off":
            stage = self._progress.stage("microphone", MICROPHONE_BUDGET_S)
            microphone = Microphone(settings.microphone, self._inbox.put_audio, self._faults, stage)
            self._devices.append((microphone, stage))
        if settings.camera.source != "off":
            stage = self._progress.stage("camera", CAMERA_BUDGET_S)
            self._devices.append((Camera(settings.camera, self._inbox.put_video, self._faults, stage), stage))

    def close(self) -> bool:
        """Devices closed, then light off; returns False, with the light still on, where a device does not close."""
        if not self.is_open:
            return True
        left = []
        for device, stage in self._devices:
            if device.close():
                self._progress.drop(stage)
            else:
                self._faults.hold("device_stuck", f"{stage.name} does not close")
                left.append((device, stage))
        self._devices = left
        if left:
            return False
        self._faults.clear("device_stuck")
        self.is_open = False
        try:
            self._indicator.switch(False)
        except IndicatorError as error:
            log.warning("%s", error)
        return True

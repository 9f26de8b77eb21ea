"""The daemon's settings: one frozen model per table of the TOML file, every key described here and nowhere else.

Units are in the names. Unknown keys are refused with their dotted path. No key holds a secret: secrets are named by the
file, or the systemd credential, that holds them.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_emotion.config import Provider

Output = Literal["mqtt", "stdout", "serial"]
Purpose = Literal["personal", "research", "medical_safety", "demo", "other", "workplace", "education"]
TopicPart = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]

LAW = (
    'purpose = "{purpose}" is refused: inferring emotions at work and in education is prohibited by Regulation (EU) '
    "2024/1689 Art. 5(1)(f) except for medical or safety reasons; if that is your case, describe the documented basis "
    "in purpose_basis (at least 20 characters; not legal advice)"
)


def default_device() -> str:
    """Name of this machine as a topic part: lower case, other characters replaced by a hyphen."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().split(".")[0].lower()).strip("-_")
    return name[:63] or "device"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Microphone(_Table):
    """``[microphone]``: live sound through PortAudio (ALSA, PulseAudio, PipeWire)."""

    device: str = "default"
    """Stable name as printed by ``devices``, ``default``, or ``off``."""
    sample_rate_hz: int | None = Field(default=None, ge=8000, le=192_000)
    """Rate to open the device with; its own rate where not given. The model's 16 kHz is made by soxr."""
    channel: int = Field(default=0, ge=0, le=31)
    """Which channel of a multi-channel device to use."""
    block_s: float = Field(default=0.04, ge=0.005, le=0.2)
    """Length of one blocking read."""
    stale_s: float = Field(default=2.0, ge=0.2, le=60)
    """Without samples for this long, the device is closed and opened again."""
    flat_s: float = Field(default=5.0, ge=0.5, le=600)
    """Samples that do not change for this long are reported: a muted or dead microphone."""


class Camera(_Table):
    """``[camera]``: live pictures through OpenCV."""

    source: str = "off"
    """``off``, a V4L2 device (``/dev/v4l/by-id/...``), ``rtsp://``, ``http://`` (MJPEG), or a video file."""
    username: str | None = None
    """User of a network camera."""
    password_file: str | None = None
    """File with the password of a network camera, or the name of a systemd credential."""
    width: int | None = Field(default=None, ge=64, le=4096)
    """Picture width to ask a V4L2 device for."""
    height: int | None = Field(default=None, ge=48, le=4096)
    """Picture height to ask a V4L2 device for."""
    fps: float = Field(default=12.5, gt=0, le=60)
    """Frames per second handed to the pipeline at most; the built-in bundle looks at no more than 12.5."""
    delay_ms: float = Field(default=0.0, ge=0, le=5000)
    """Known delay of the camera (exposure to arrival), subtracted from the time stamps."""
    clock: Literal["arrival", "sender"] = "arrival"
    """Whose time the pictures of an RTSP camera carry: ``sender`` where its clock and ours are synchronised."""
    stale_s: float = Field(default=3.0, ge=0.2, le=60)
    """Without a frame for this long, the device is closed and opened again."""
    frozen_s: float = Field(default=5.0, ge=0.5, le=600)
    """Pictures identical to the last bit for this long are a frozen camera: reported, not used, opened again."""


class Replay(_Table):
    """``[replay]``: a clip in place of microphone and camera, in real time."""

    file: Path
    """Any clip that PyAV reads."""
    loop: bool = False
    """Start again at the end."""


class Mqtt(_Table):
    """``[mqtt]``: the broker."""

    host: str = "localhost"
    """Name or address of the broker."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """8883 with TLS and 1883 without, where not given."""
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    """Version of MQTT."""
    prefix: str = Field(default="edge_emotion", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=128)
    """First part of every topic: ``<prefix>/<device>/...``."""
    username: str | None = None
    """Login; switches TLS on unless `tls` says otherwise."""
    password_file: str | None = None
    """File with the password, or the name (without a slash) of a systemd credential."""
    tls: bool | None = None
    """On where a user name or a client certificate is set, off otherwise."""
    ca_file: Path | None = None
    """Certificate authority; the system's where not given."""
    certificate_file: Path | None = None
    """Client certificate for mutual TLS."""
    key_file: Path | None = None
    """Its private key."""
    keepalive_s: int = Field(default=15, ge=2, le=600)
    """After one and a half times this the broker takes us for dead, after twice this we take it for dead."""
    backoff_s: tuple[float, float] = (1.0, 120.0)
    """First and longest wait between attempts to connect; each is jittered."""
    discovery: bool = True
    """Announce the device to Home Assistant."""
    discovery_prefix: str = Field(default="homeassistant", pattern=r"^[A-Za-z0-9_/-]+$")
    """As set in Home Assistant."""
    commands: bool = True
    """Obey commands on ``cmd/<verb>``."""

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls if self.tls is not None else bool(self.username or self.certificate_file)

    @property
    def resolved_port(self) -> int:
        """The port, with the default of the transport filled in."""
        return self.port or (8883 if self.uses_tls else 1883)

    @field_validator("backoff_s")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("must be two positive seconds, the first not above the second")
        return value

    @model_validator(mode="after")
    def _pairs(self) -> Mqtt:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        if self.password_file and not self.username:
            raise ValueError("password_file needs username")
        return self


class History(_Table):
    """``[history]``: readings that must arrive, and the spool that keeps them while the broker is away."""

    rate_hz: float = Field(default=1.0, ge=0, le=25)
    """Readings per second of the history; 0 turns history and spool off."""
    file: Path | None = None
    """The spool; ``$STATE_DIRECTORY/spool.sqlite`` or ``~/.local/state/edge-emotion/spool.sqlite`` where not given."""
    max_bytes: int = Field(default=50_000_000, ge=100_000)
    """Beyond this the oldest readings are dropped and counted."""
    max_age_h: float = Field(default=168.0, gt=0)
    """Readings that waited longer than this, counted in time that the daemon ran, are dropped and counted."""
    in_flight: int = Field(default=4, ge=1, le=20)
    """Messages of history under way to the broker at the same time."""


class Serial(_Table):
    """``[serial]``: a microcontroller on a serial line."""

    port: str | None = None
    """Device, best by its stable name (``/dev/serial/by-id/...``)."""
    baud: int = Field(default=115_200, ge=9600, le=4_000_000)
    """Bits per second."""


class Indicator(_Table):
    """``[indicator]``: the light that tells people that microphone or camera are open."""

    kind: Literal["none", "led", "serial"] = "none"
    """``led``: the kernel's LED class; ``serial``: the microcontroller of ``[serial]``."""
    led: str | None = None
    """Folder name under ``/sys/class/leds``, for kind ``led``."""
    required: bool = False
    """Without a working indicator nothing is sensed."""

    @model_validator(mode="after")
    def _complete(self) -> Indicator:
        if self.kind == "led" and not self.led:
            raise ValueError('kind = "led" needs led, a folder name under /sys/class/leds')
        if self.kind == "none" and self.required:
            raise ValueError('required = true needs kind = "led" or "serial"')
        return self


class Calibration(_Table):
    """``[calibration]``: a personal baseline, learnt on command."""

    enabled: bool = False
    """Readings carry the flag ``uncalibrated`` until a baseline was learnt."""
    duration_s: float = Field(default=60.0, ge=5, le=600)
    """How long ``calibrate`` learns."""
    file: Path | None = None
    """Where ``calibrate`` stores the baseline when told to; kept in memory only where not given."""


class Metrics(_Table):
    """``[metrics]``: a Prometheus endpoint."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """Off where not given."""
    address: str = "127.0.0.1"
    """Address to listen on."""


class Settings(_Table):
    """The whole settings file."""

    purpose: Purpose
    """What the estimates are for. Required; ``workplace`` and ``education`` are refused without ``purpose_basis``."""
    purpose_basis: str = ""
    """The documented medical or safety basis, for the two purposes that need one."""
    device: TopicPart = Field(default_factory=default_device)
    """Name of this device in topics and messages; the host's name where not given."""
    instance: TopicPart = "main"
    """Tells several daemons on one machine apart."""
    output: tuple[Output, ...] = ("mqtt",)
    """Where readings go: ``mqtt``, ``stdout``, ``serial``, or a list of them."""
    bundle: Path | None = None
    """Model bundle; the built-in one where not given."""
    provider: Provider = "auto"
    """Where the models run: ``auto``, ``cpu``, ``cuda`` or ``tensorrt``; refused where it is absent."""
    as_packed: bool = False
    """Leave aside the form of the face encoder that ``edge-emotion bundle choose`` found best on this machine."""
    rate_hz: float = Field(default=5.0, ge=1, le=25)
    """Live readings per second."""
    summary_hz: float = Field(default=0.2, ge=0.2, le=1)
    """Summaries per second: means over the readings since the last one."""
    health_s: float = Field(default=10.0, ge=1, le=600)
    """Seconds between health messages."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """``debug`` also logs the readings that the broker acknowledged."""
    microphone: Microphone = Microphone()
    camera: Camera = Camera()
    replay: Replay | None = None
    mqtt: Mqtt = Mqtt()
    history: History = History()
    serial: Serial = Serial()
    indicator: Indicator = Indicator()
    calibration: Calibration = Calibration()
    metrics: Metrics = Metrics()

    @field_validator("output", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _lawful_and_complete(self) -> Settings:
        if self.purpose in ("workplace", "education") and len(self.purpose_basis.strip()) < 20:
            raise ValueError(LAW.format(purpose=self.purpose))
        if not self.output:
            raise ValueError("output must name at least one of mqtt, stdout, serial")
        if ("serial" in self.output or self.indicator.kind == "serial") and not self.serial.port:
            raise ValueError("serial.port is needed by output or indicator")
        if self.replay is None and self.microphone.device == "off" and self.camera.source == "off":
            raise ValueError("microphone.device and camera.source are both off: nothing to sense")
        return self


SAFE_KEYS = ("log_level", "summary_hz", "health_s", "history.rate_hz", "mqtt.discovery", "mqtt.commands")
"""Keys that a running daemon takes over on SIGHUP or ``cmd/reload``; every other change waits for a restart."""

"""``edge-emotion-daemon``: live devices in, MQTT out, and everything to set that up."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_emotion.cli import run as ending
from edge_emotion.errors import ConfigError, UsageError
from firmware_bridge import config_file
from firmware_bridge.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Estimated expressed arousal and valence from live devices, over MQTT, day and night, storing nothing.",
    epilog=ending.EXIT_CODES,
)
config_app = typer.Typer(no_args_is_help=True, help="The settings.")
spool_app = typer.Typer(no_args_is_help=True, help="History that waits for the broker.")
app.add_typer(config_app, name="config")
app.add_typer(spool_app, name="spool")


def _default_config() -> Path:
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edge-emotion/daemon.toml"
    return own if own.exists() else Path("/etc/edge-emotion/daemon.toml")


Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        help="Settings file.",
        default_factory=_default_config,
        show_default="your own, or /etc's",
    ),
]
Seconds = Annotated[float | None, typer.Option("--seconds", help="End after this long.")]


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        from edge_emotion import __version__

        print(f"edge-emotion-daemon {__version__}")
        raise typer.Exit


def _need_device_extra() -> None:
    missing = [name for name in ("paho", "serial", "cobs") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError("the device packages are not installed: pip install 'edge-emotion[device]'")


_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Log(logging.Formatter):
    """Journal priorities where the journal reads; never the login of a URL."""

    def format(self, record: logging.LogRecord) -> str:
        text = config_file.redact(super().format(record))
        if "JOURNAL_STREAM" in os.environ:
            prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
            return "\n".join(prefix + line for line in text.splitlines())
        return text


def _start_log(settings: Settings) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Log("%(levelname).1s %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)


@app.command()
def run(config: Config) -> None:
    """Sense, estimate and publish until stopped."""
    settings = config_file.load(config)
    _need_device_extra()
    from firmware_bridge.daemon import Daemon

    _start_log(settings)
    code = Daemon(settings, config).run()
    sys.stdout.flush()
    logging.shutdown()
    # a thread that hangs in a driver must not hold up the end of the process
    os._exit(code)


@app.command("check-config")
def check_config(config: Config) -> None:
    """Say whether the settings are in order, down to the secrets."""
    settings = config_file.load(config)
    for name in (settings.mqtt.password_file, settings.camera.password_file):
        if name is not None:
            config_file.read_secret(name)
    print(f"{config}: in order; purpose {settings.purpose}, output {', '.join(settings.output)}")


@config_app.command("show")
def config_show(config: Config) -> None:
    """Print every setting with its effective value; secrets are not shown."""
    print(json.dumps(config_file.show(config_file.load(config)), indent=2))


@app.command("print-unit")
def print_unit(user: Annotated[bool, typer.Option("--user", help="For a desktop session.")] = False) -> None:
    """Print the systemd unit for this installation."""
    from firmware_bridge.install import unit

    print(unit(user=user), end="")


@app.command("print-schema")
def print_schema(
    message: Annotated[
        str | None, typer.Argument(help="One message, as JSON Schema; all, as AsyncAPI.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The message reference as a page.")] = False,
) -> None:
    """Print what the messages look like."""
    from firmware_bridge import reference

    if markdown:
        print(reference.markdown(), end="")
        return
    if message is not None and message not in reference.MESSAGES:
        raise UsageError(f"there is no message {message!r}; there are {', '.join(reference.MESSAGES)}")
    print(json.dumps(reference.asyncapi() if message is None else reference.json_schema(message), indent=2))


User = Annotated[bool, typer.Option("--user", help="A service of your own session, for desktops.")]
Root = Annotated[Path, typer.Option("--root", help="Write below this folder, run nothing: for packagers.")]


@app.command()
def install(user: User = False, root: Root = Path("/")) -> None:
    """Put the service on this machine; an upgrade keeps settings and spool."""
    from firmware_bridge.install import Place
    from firmware_bridge.install import install as put

    put(Place(user=user, root=root), print)


@app.command()
def uninstall(config: Config, user: User = False, root: Root = Path("/")) -> None:
    """Take the service off this machine, and its announcement off Home Assistant."""
    _need_device_extra()
    from firmware_bridge.farewell import forget
    from firmware_bridge.install import Place
    from firmware_bridge.install import uninstall as remove

    remove(Place(user=user, root=root), print)
    # a service that still ran would announce itself again
    try:
        forget(config_file.load(config))
        print("removed  the announcement to Home Assistant and the retained messages")
    except (ConfigError, OSError) as error:
        print(f"skipped  the broker's retained messages: {error}")


@app.command()
def devices() -> None:
    """List microphones and cameras by the names that the settings accept."""
    from firmware_bridge import camera, microphone

    try:
        with microphone.portaudio() as audio:
            for device in microphone.devices(audio):
                print(f"microphone  {device.name!r}  {device.channels} channels, {device.sample_rate_hz} Hz")
    except ImportError:
        print("microphone  PyAudio is not installed: pip install 'edge-emotion[device]'")
    for path in camera.stable_names() or sorted(map(str, Path("/dev").glob("video*"))):
        print(f"camera      {path}")


@app.command()
def doctor(config: Config) -> None:
    """Look at everything that the daemon needs; each complaint comes with its remedy."""
    _need_device_extra()
    from firmware_bridge.doctor import examine

    signs = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "fault": "[red]✗[/]"}
    faults = 0
    for finding in examine(config_file.load(config)):
        ending.stdout.print(f"{signs[finding.verdict]} {finding.what}: ", end="")
        ending.stdout.print(finding.said, markup=False)
        if finding.remedy and finding.verdict != "ok":
            ending.stdout.print(f"    → {finding.remedy}", markup=False)
        faults += finding.verdict == "fault"
    if faults:
        raise typer.Exit(1)


@app.command()
def watch(config: Config, seconds: Seconds = None) -> None:
    """Show live meters in the terminal; no broker is needed, nothing is published."""
    _need_device_extra()
    import threading

    from firmware_bridge.daemon import Daemon
    from firmware_bridge.watch import Meters

    settings = config_file.load(config)
    logging.getLogger().setLevel(logging.ERROR)
    daemon = Daemon(settings, config, outputs=[Meters()])
    if seconds:
        threading.Timer(seconds, daemon.stop).start()
    raise typer.Exit(daemon.run())


@app.command()
def profile(
    config: Config,
    live: Annotated[
        bool, typer.Option("--live", help="Measure on the live devices (the only way here).")
    ] = True,
    seconds: Annotated[float, typer.Option("--seconds", help="How long to measure.")] = 20.0,
) -> None:
    """Measure on this machine, with its devices, where the time goes."""
    _need_device_extra()
    from firmware_bridge.profile import measure

    if not live:
        raise UsageError("clips are profiled by `edge-emotion profile CLIP`")
    measure(config_file.load(config), seconds)


@spool_app.command("stat")
def spool_stat(config: Config) -> None:
    """Say what waits."""
    _need_device_extra()
    from firmware_bridge.farewell import open_spool

    with open_spool(config_file.load(config)) as spool:
        print(f"{spool.path}: {spool.rows} readings, {spool.bytes / 1e6:.2f} MB")


@spool_app.command("drain")
def spool_drain(
    config: Config, seconds: Annotated[float, typer.Option("--seconds", help="Try this long.")] = 60.0
) -> None:
    """Send what waits to the broker now; the daemon must not be running."""
    _need_device_extra()
    from firmware_bridge.farewell import drain

    left = drain(config_file.load(config), seconds)
    print(f"{left} readings left")
    if left:
        raise typer.Exit(1)


@spool_app.command("purge")
def spool_purge(
    config: Config, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Forget what waits."""
    _need_device_extra()
    from firmware_bridge.farewell import open_spool

    with open_spool(config_file.load(config)) as spool:
        if not yes:
            typer.confirm(f"Forget {spool.rows} readings?", abort=True)
        print(f"{spool.purge()} readings forgotten")


def main() -> None:
    """Entry point of ``edge-emotion-daemon``."""
    raise SystemExit(ending.run(app, "edge-emotion-daemon"))


if __name__ == "__main__":
    main()

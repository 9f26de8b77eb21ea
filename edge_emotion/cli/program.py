"""The program ``edge-emotion``, to which each module beside this one adds its commands."""

from __future__ import annotations

import typer

from edge_emotion.cli import run

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Estimated expressed arousal and valence from sound and pictures, on this machine, storing nothing.",
    epilog=run.EXIT_CODES,
)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        from edge_emotion import __version__

        print(f"edge-emotion {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of ``edge-emotion``."""
    raise SystemExit(run.run(app, "edge-emotion"))

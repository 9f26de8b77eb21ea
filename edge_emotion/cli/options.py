"""What several commands are asked in the same words."""

from __future__ import annotations

import typer

CLIP = typer.Argument(help="A media file with sound, picture or both.")
BUNDLE = typer.Option(None, help="Folder of a model bundle; the built-in one by default.")
RATE_HZ = typer.Option(None, help="Readings a second; the bundle's rate by default.")
START = typer.Option(0.0, min=0.0, help="Second of the clip to begin with.")
DURATION = typer.Option(None, min=0.0, help="Seconds of the clip to look at.")
PROVIDER = typer.Option("auto", help="What runs the models; an absent one is refused.")
AS_PACKED = typer.Option(
    False, "--as-packed", help="Leave aside what `bundle choose` found best on this machine."
)

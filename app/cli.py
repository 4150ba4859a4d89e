"""The command line. `app/commands/` holds one module a command, imported when it is called.

exit codes: 0 done · 2 wrong arguments · 3 input unusable · 4 cancelled · 1 our fault
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from analysis.runtime import prepare

DONE, OUR_FAULT, WRONG_ARGUMENTS, UNUSABLE_INPUT, CANCELLED = 0, 1, 2, 3, 4

COMMANDS = {
    "demo": "Open the built-in demo study, or write its figures where there is no display.",
    "recipes": "List the pruning recipes and the parts they are made of.",
    "inspect": "Show what a checkpoint holds: architecture, layers, zeros.",
    "prune": "Prune a checkpoint by a recipe and say what it did.",
    "permanent": "Cut out what is zero as a whole: a smaller network with the same outputs.",
    "evaluate": "Accuracy, loss, calibration error and agreement with the first model.",
    "sensitivity": "Accuracy and loss with each layer pruned alone.",
    "geometry": "Features, angles, norms, margins and an embedding of them.",
    "paths": "The most influential unit of every layer.",
    "robustness": "Accuracy on corrupted images.",
    "account": "Parameters, zeros, multiply-accumulates and bytes; measured time on request.",
    "sqnr": "Pruning and quantisation error of every layer at equal compression.",
    "figure": "Write a view of a study as SVG, PDF or PNG.",
}
"""Commands and what `espalier --help` says of them, known without importing them."""


class LazyGroup(click.Group):
    """Imports a command's module when it is called; anything else is a path for the window."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"app.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in COMMANDS:
            return super().resolve_command(ctx, args)
        if not _is_path(args[0]):
            raise click.UsageError(f"{args[0]!r} is neither a command nor a file here.", ctx)
        return "open", _open, args

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _is_path(text: str) -> bool:
    """Whether a word is meant as a path: it exists, or it looks like no command."""
    return text.startswith("demo:") or Path(text).exists() or not text.isidentifier()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    no_args_is_help=False,
    subcommand_metavar="[PATH...] | COMMAND ...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def espalier(ctx: click.Context) -> None:
    """See what pruning changes inside a neural network.

    With PATHs (a study, checkpoints, data, demo:resnet, demo:vit) or nothing, the window opens.
    """
    if ctx.invoked_subcommand is None:
        _window(())


@click.command("open", hidden=True)
@click.argument("paths", nargs=-1)
def _open(paths: tuple[str, ...]) -> None:
    """Open the window on paths."""
    from analysis.errors import InputError

    for path in paths:
        if not (path.startswith("demo:") or path == "digits" or Path(path).exists()):
            raise InputError(path, "There is no such file or folder.", "Check its name.")
    _window(paths)


def _window(paths: Sequence[str]) -> None:
    from app.commands.window import open_window

    open_window(paths)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `espalier` and return its exit code; messages go to stderr."""
    prepare()
    before = _listen_to_termination()
    try:
        result: Any = espalier.main(
            args=None if arguments is None else list(arguments),
            prog_name="espalier",
            standalone_mode=False,
        )
        return result if isinstance(result, int) else DONE
    except (KeyboardInterrupt, click.Abort):
        click.echo("espalier: cancelled", err=True)
        return CANCELLED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - this is where every error becomes an exit code
        return _explain(error)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _explain(error: Exception) -> int:
    from analysis.errors import ArgumentError, InputError
    from analysis.request import Cancelled

    if isinstance(error, InputError):
        click.echo(f"espalier: {error}", err=True)
        return UNUSABLE_INPUT
    if isinstance(error, ArgumentError):
        click.echo(f"espalier: {error}", err=True)
        return WRONG_ARGUMENTS
    if isinstance(error, Cancelled):
        click.echo("espalier: cancelled", err=True)
        return CANCELLED
    traceback.print_exception(error, file=sys.stderr)
    click.echo("espalier: this is a fault of Espalier; please report the lines above.", err=True)
    return OUR_FAULT


def _listen_to_termination() -> Any:
    """Let SIGTERM (`timeout`, a scheduler) end a command as Ctrl+C does; return what was there."""
    try:
        return signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:
        return None  # not the main thread: signals are somebody else's


if __name__ == "__main__":
    sys.exit(main())

"""The command line: parse, call one function, say where the result is.

Heavy imports live inside the commands, so that `--help` comes at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from envs.errors import InputError
from marl.commands import (
    evaluate,
    forecast,
    planning,
    recommend,
    report,
    scenario,
    search,
    train,
)
from marl.commands.console import describe_missing
from marl.errors import RunError
from marl.training.stopping import Stopped, compute_status, install_handlers, leave

# Typer brings its own copy of click or uses the installed one; this finds the right class.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_OUT_OF_MEMORY = "can't allocate memory"  # how torch says it

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
scenario_app = typer.Typer(help="List, show and check scenarios.", no_args_is_help=True)
app.add_typer(scenario_app, name="scenario")

for group in (train, evaluate, forecast, recommend, report, search):
    group.register(app)
scenario.register(scenario_app)
planning.register(app, scenario_app)


@app.callback()
def set_options(
    allow_outside: Annotated[
        bool,
        typer.Option(
            "--allow-outside", help="Let scenarios name trace files outside of their own folder."
        ),
    ] = False,
) -> None:
    """Multi-agent reinforcement learning for omni-channel inventory."""
    if allow_outside:
        from envs.omnichannel.scenario.load import outside_allowed

        outside_allowed.set(True)


def main() -> None:
    """Runs the command line.

    A user's mistake is one line on stderr and exit code 2; a failed run, or one for which there is
    too little memory, one line and code 1; a signal that ends the command 128 + its number.
    """
    install_handlers()
    guest = _is_ray_up()  # whose Ray it is, and who goes on after the command
    try:
        status = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error), guest=guest)
    except RunError as error:
        _fail(str(error), 1, guest=guest)
    except UsageError as error:
        _fail(error.format_message(), guest=guest)  # type: ignore[attr-defined]
    except ModuleNotFoundError as error:
        missing = describe_missing(error.name or "")
        if not missing:
            raise
        _fail(missing, guest=guest)
    except MemoryError as error:
        reason = str(error) or "none is left"
        _fail(f"memory: there is not enough for what was asked ({reason})", 1, guest=guest)
    except RuntimeError as error:
        if _OUT_OF_MEMORY not in str(error):
            raise
        _fail("memory: there is not enough for networks of this size", 1, guest=guest)
    except (typer.Abort, KeyboardInterrupt):
        leave(130)
    except Stopped as stopped:
        leave(compute_status(stopped.number))
    except typer.Exit as stop:
        _end(stop.exit_code, guest=guest)
    _end(status if isinstance(status, int) else 0, guest=guest)


def _is_ray_up() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _end(status: int, *, guest: bool) -> NoReturn:
    """Ends the process; where the command started Ray, without asking Ray's processes one by one.

    Args:
        status: the exit code.
        guest: whether Ray was there before the command: then the process is not its own to end.
    """
    if _is_ray_up() and not guest:
        leave(status)
    sys.exit(status)


def _fail(message: str, status: int = 2, *, guest: bool) -> NoReturn:
    if message:  # without arguments, Typer has printed the help already
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
    _end(status, guest=guest)


if __name__ == "__main__":
    main()

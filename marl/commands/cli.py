"""The command line: parse, call one function, say where the result is.

Heavy imports live inside the commands, so that `--help` comes at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from envs.errors import InputError
from marl.commands import evaluate, forecast, planning, report, scenario, search, train
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

for group in (train, evaluate, forecast, report, search):
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
        from envs.omnichannel.scenario.scenario import outside_allowed

        outside_allowed.set(True)


def main() -> None:
    """Runs the command line.

    A user's mistake is one line on stderr and exit code 2; a failed run, or one for which there is
    too little memory, one line and code 1; a signal that ends the command 128 + its number.
    """
    install_handlers()
    try:
        status = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except RunError as error:
        _fail(str(error), status=1)
    except UsageError as error:
        _fail(error.format_message())  # type: ignore[attr-defined]
    except ModuleNotFoundError as error:
        missing = describe_missing(error.name or "")
        if not missing:
            raise
        _fail(missing)
    except MemoryError as error:
        _fail(f"memory: there is not enough for what was asked ({str(error) or 'none is left'})", 1)
    except RuntimeError as error:
        if _OUT_OF_MEMORY not in str(error):
            raise
        _fail("memory: there is not enough for networks of this size", 1)
    except (typer.Abort, KeyboardInterrupt):
        leave(130)
    except Stopped as stopped:
        leave(compute_status(stopped.number))
    except typer.Exit as stop:
        _end(stop.exit_code)
    _end(status if isinstance(status, int) else 0)


def _end(status: int) -> NoReturn:
    """Ends the process; where Ray runs, without asking its processes one by one."""
    ray = sys.modules.get("ray")
    if ray and ray.is_initialized():
        leave(status)
    sys.exit(status)


def _fail(message: str, status: int = 2) -> NoReturn:
    if message:  # without arguments, Typer has printed the help already
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
    _end(status)


if __name__ == "__main__":
    main()

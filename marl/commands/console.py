"""Shared by the commands: a console, JSON for programs, whole files, and the extra they need."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from marl.config import TrainConfig

# What an installation may lack, by the extra of the package that brings it.
EXTRAS = {
    "train": ("ray", "torch", "tensorboardX", "onnx"),
    "serve": ("onnxruntime", "fastapi", "uvicorn"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "tables": ("openpyxl", "pyarrow"),
}


def check_installed(extra: str) -> None:
    """Refuses to go on without the modules of an extra.

    Raises:
        InputError: names the first missing module and how to install it.
    """
    for module in EXTRAS[extra]:
        if find_spec(module) is None:
            raise InputError(describe_missing(module))


def check_trackers(config: TrainConfig) -> None:
    """Refuses to go on without the modules of the trackers that a configuration names.

    Raises:
        InputError: names the first missing module and how to install it.
    """
    for name in config.tracking.to:
        check_installed(name)


def describe_missing(module: str) -> str:
    """One line about a module that is not installed; empty if no extra brings it."""
    name = module.partition(".")[0]
    extras = [extra for extra, modules in EXTRAS.items() if name in modules]
    if not extras:
        return ""
    return (
        f"{name} is not installed; install the extra '{extras[0]}': "
        f"pip install 'omnichannel-marl[{extras[0]}]', or '.[{extras[0]}]' in this folder"
    )


def make_console(json_file: Path | None = None) -> Console:
    """A console on stdout, or on stderr where stdout belongs to the JSON."""
    from rich.console import Console

    to_stderr = json_file is not None and str(json_file) == "-"
    # Names and texts of users may hold brackets and colons, which are no markup.
    make = partial(Console, stderr=to_stderr, markup=False, emoji=False)
    # Where nobody watches, tables keep their natural width instead of 80 columns.
    return make() if make().is_terminal else make(width=140)


def write_json(json_file: Path | None, data: dict[str, Any]) -> None:
    """Writes the result for `--json`: to a file, or to stdout for `-`.

    Raises:
        InputError: if the file cannot be written.
    """
    if json_file is None:
        return
    text = json.dumps(data, indent=2)
    if str(json_file) == "-":
        print(text)
    else:
        from marl.runs.files import write_file

        write_file(json_file, text, "--json")


def name_command(name: str) -> str:
    """How this shell can call a command of the environment we run in."""
    if shutil.which(name):
        return name
    path = Path(sys.executable).with_name(name)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)

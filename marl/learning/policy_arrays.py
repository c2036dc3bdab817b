"""The .npz file of a learnt policy: six networks as plain arrays, without torch or Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.untrusted import parse_object, read_arrays

# module_id -> parameter -> values; where it is learnt, `COORDINATION` -> decision -> weights.
Weights = dict[str, dict[str, NDArray[Any]]]
COORDINATION = "coordination"
NetworkArguments = dict[str, dict[str, Any]]  # module_id -> keyword arguments of QNetwork


def save_policy(path: Path, arguments: dict[str, Any], weights: Weights) -> None:
    """Writes networks as one .npz of plain arrays, their arguments as JSON inside."""
    arrays = {f"{m}/{name}": value for m, w in weights.items() for name, value in w.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, arguments=np.array(json.dumps(arguments)), **arrays)


def load_arrays(path: Path) -> tuple[dict[str, Any], Weights]:
    """Reads what `save_policy` wrote: the arguments, and the arrays by module and parameter.

    Raises:
        InputError: if the file is missing or not such a file.
    """
    if not path.exists():
        raise InputError(f"policy: file '{path}' does not exist")
    weights: Weights = {}
    try:
        arrays = read_arrays(path, "policy")
        arguments = parse_object(str(arrays["arguments"]), "policy")
    except (InputError, KeyError):
        raise make_damage_error(path) from None
    for key, array in arrays.items():
        module_id, _, parameter = key.partition("/")
        if parameter and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"policy: '{path}' holds weights that are no finite numbers: {key}")
        if parameter:
            weights.setdefault(module_id, {})[parameter] = array
    return arguments, weights


def make_damage_error(path: Path) -> InputError:
    """The one line about a file that is no policy or only a part of one."""
    return InputError(f"policy: '{path}' is not a whole policy file; give one that training wrote")

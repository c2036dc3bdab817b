"""Broken and hostile run folders: every mutation of every file that a command reads in one."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from envs.errors import InputError
from marl.config import apply_overrides
from marl.runs.checkpoints import MANIFEST_FILE, write_manifest
from tests.make_hostile_files import MUTATIONS, Case, Command, Mutation

Arrays = dict[str, NDArray[Any]]

RUN = Path("run")
OUTSIDE = "outside.txt"  # beside the folder that a command runs in: nothing may write to it
CHECKPOINT = RUN / "checkpoints" / "000032"
SETTINGS = ("config.yaml", "scenario.yaml")
PARTS = ("progress.json", "counters.json", "learner.json", "pool.json", "learner.npz", "pool.npz")
COMMANDS = (
    Command(
        "resume",
        ("resume", "run", "--episodes", "+16", "--quiet"),
        tuple(
            str(path)
            for path in (
                *(RUN / name for name in (*SETTINGS, "metrics.jsonl", "checkpoints/latest")),
                *(CHECKPOINT / name for name in (*PARTS, MANIFEST_FILE, "policy.npz")),
            )
        ),
    ),
    Command(
        "evaluate",
        ("evaluate", "run", "--episodes", "2", "--json", "found.json"),
        tuple(map(str, (*(RUN / x for x in SETTINGS), RUN / "checkpoints/best",
                        CHECKPOINT / "policy.npz"))),
    ),
    Command(
        "report",
        ("report", "run"),
        tuple(map(str, (*(RUN / x for x in (*SETTINGS, "versions.json", "metrics.jsonl",
                        "evaluation.json", "ablation.json", "checkpoints/best")),
                        CHECKPOINT / "policy.npz"))),
    ),
    Command("export-run", ("export", "run", "--out", "again.onnx"),
            (str(CHECKPOINT / "policy.npz"), "run/config.yaml")),
)  # fmt: skip

# Mutations of bytes, where those of text say nothing new.
_OF_BYTES = (
    "empty", "half", "last byte", "twice", "zeros", "list", "gz", "zip", "pipe", "folder", "device",
    "elsewhere", "circle", "missing", *(f"bits {seed}" for seed in range(6)),
)  # fmt: skip


def _change_arrays(change: Callable[[Arrays], object], save: Any = np.savez) -> Mutation:
    """A mutation of the arrays of an .npz file; what `change` returns, if anything, replaces them.

    A policy's own document is left as it is.
    """

    def apply(path: Path) -> None:
        with np.load(path) as file:
            arrays = dict(file)
        document = {name: arrays.pop(name) for name in ("arguments",) if name in arrays}
        changed = change(arrays)
        save(path, **document, **(changed if isinstance(changed, dict) else arrays))

    return apply


def _to_each(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Mutation:
    return _change_arrays(lambda arrays: {name: change(x) for name, x in arrays.items()})


def _put(value: float) -> Mutation:
    """One number of every array of such, at most the largest of its type."""

    def put(array: NDArray[Any]) -> NDArray[Any]:
        if array.size and array.dtype.kind == "f":
            array, most = array.copy(), float(np.finfo(array.dtype).max)
            array.flat[0] = min(value, most) if np.isfinite(value) else value
        return array

    return _to_each(put)


def _make_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + bytes(64)


def _add_entry(name: str, content: bytes, kind: int = zipfile.ZIP_STORED) -> Mutation:
    """Puts an entry in the place of the first array."""

    def add(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            kept = {entry: archive.read(entry) for entry in archive.namelist()}
        first = next(entry for entry in kept if entry != "arguments.npy")
        kept.pop(first)
        with zipfile.ZipFile(path, "w") as archive:
            for entry, own in kept.items():
                archive.writestr(entry, own)
            archive.writestr(name or first, content, kind)

    return add


_ARRAYS: dict[str, Mutation] = {
    "a nan": _put(np.nan),
    "an infinity": _put(-np.inf),
    "large weights": _put(1e38),
    "an array missing": _change_arrays(lambda arrays: arrays.popitem()),
    "the first array missing": _change_arrays(lambda arrays: arrays.pop(next(iter(arrays)))),
    "an array more": _change_arrays(lambda arrays: arrays.update(odd=np.zeros(3))),
    "a module more": _change_arrays(lambda arrays: arrays.update({"odd/x/y": np.zeros(3)})),
    "no arrays": _change_arrays(lambda _: {}),
    "flat": _to_each(np.ravel),
    "turned": _to_each(np.transpose),
    "a row more": _to_each(lambda x: np.concatenate([x, x[:1]]) if x.ndim else x),
    "a row less": _to_each(lambda x: x[:-1] if x.ndim else x),
    "an axis more": _to_each(lambda x: x[None]),
    "no rows": _to_each(lambda x: x[:0] if x.ndim else x),
    "numbers alone": _to_each(lambda x: np.array(0.0)),
    "whole numbers": _to_each(lambda x: x.astype(np.int64)),
    "complex": _to_each(lambda x: x.astype(np.complex64)),
    "truths": _to_each(lambda x: x.astype(bool)),
    "texts": _to_each(lambda x: np.full(x.shape, "x")),
    "big-endian": _to_each(lambda x: x.astype(x.dtype.newbyteorder(">"))),
    "doubles": _to_each(lambda x: x.astype(np.float64)),
    "dates": _to_each(lambda x: np.full(x.shape, np.datetime64("2024-01-01"))),
    "pickles": _to_each(lambda x: np.full(x.shape, None, object)),
    "compressed": _change_arrays(lambda _: None, np.savez_compressed),
    "50 GiB declared": _add_entry("", _make_header((50 * 2**27,))),
    "below zero declared": _add_entry("", _make_header((-1,))),
    "zero times many declared": _add_entry("", _make_header((0, 2**62))),
    "a header of objects": _add_entry("", _make_header((8,), "|O")),
    "a bomb": _add_entry("", _make_header((10**8,)) + bytes(10**8), zipfile.ZIP_DEFLATED),
    "a header of lists": _add_entry("", b"\x93NUMPY\x01\x00\xff\x7f" + b"[" * 0x7FFF),
    "a long name": _add_entry("x" * 60_000 + ".npy", _make_header((8,))),
    "a name above": _add_entry("../../above.npy", _make_header((8,))),
    "20,000 arrays": _change_arrays(
        lambda arrays: arrays.update({f"a/{i}": np.zeros(1) for i in range(20_000)})
    ),
}

_WRONG: tuple[Any, ...] = (
    None, [], {}, True, "x", -1, 0, 1.5, 10**9, 10**30, float("nan"), float("inf"), [1, [2]],
    {"a": 1}, "x" * 100_000,
)  # fmt: skip


def _change_tree(change: Callable[[Any], object]) -> Mutation:
    """A mutation of a JSON file; what `change` returns, if anything, replaces it."""

    def apply(path: Path) -> None:
        tree = json.loads(path.read_text(encoding="utf-8"))
        changed = change(tree)
        path.write_text(json.dumps(tree if changed is None else changed), encoding="utf-8")

    return apply


def _change_document(change: Callable[[Any], object]) -> Mutation:
    """A mutation of the JSON that a policy's arrays are described with."""

    def apply(path: Path) -> None:
        with np.load(path) as file:
            arrays = dict(file)
        tree = json.loads(str(arrays["arguments"]))
        changed = change(tree)
        text = changed if isinstance(changed, str) else json.dumps(tree)
        np.savez(path, **arrays | {"arguments": np.array(text)})

    return apply


def _give(text: str) -> Callable[[Any], str]:
    return lambda _: text


def _list_places(tree: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values of a tree, outermost first, of lists the first two alone."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree[:2])
    for key, value in pairs:
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from _list_places(value, (*place, key))


def _set_value(number: int, value: Any) -> Callable[[Any], None]:
    """Sets the number-th value of a tree, counted around."""

    def change(tree: Any) -> None:
        places = list(_list_places(tree))
        *path, last = places[number % len(places)]
        for key in path:
            tree = tree[key]
        tree[last] = value

    return change


def _drop_value(number: int) -> Callable[[Any], None]:
    def change(tree: Any) -> None:
        places = list(_list_places(tree))
        *path, last = places[number % len(places)]
        for key in path:
            tree = tree[key]
        del tree[last]

    return change


# Values and steps are coprime, so that every kind of value meets many places.
_TREES: dict[str, Callable[[Any], object]] = {
    **{f"value {7 * i} wrong {i}": _set_value(7 * i, _WRONG[i % len(_WRONG)]) for i in range(40)},
    **{f"value {11 * i} dropped": _drop_value(11 * i) for i in range(8)},
    "keys more": lambda tree: tree.update(odd=1, train=1, __class__=1, config=None),
    "deep inside": lambda tree: tree.update({next(iter(tree)): _nest(60)}),
}


def _nest(depth: int) -> Any:
    return [_nest(depth - 1)] if depth else 1


_DOCUMENTS: dict[str, Mutation] = {
    **{name: _change_document(change) for name, change in _TREES.items()},
    **{
        f"a document of {text[:6]}": _change_document(_give(text))
        for text in ("null", "[]", "{}", "1", '"x"', "[" * 100_000, "", "{", '{"a":' * 60 + "1")
    },
    "method residual": _change_document(lambda tree: tree.update(method="residual")),
    "method orders": _change_document(lambda tree: tree.update(method="orders")),
    "method list": _change_document(lambda tree: tree.update(method=["agents"])),
    "method unknown": _change_document(lambda tree: tree.update(method="__class__")),
    "a network less": _change_document(lambda tree: tree["networks"].popitem()),
    "a network more": _change_document(lambda tree: tree["networks"].update(odd={})),
    "separate": _change_document(
        lambda tree: [x.update(num_agents=10**9) for x in tree["networks"].values()] and None
    ),
    "wide": _change_document(
        lambda tree: [x.update(hidden=[10**6] * 9) for x in tree["networks"].values()] and None
    ),
    "many options": _change_document(
        lambda tree: [x.update(max_options=10**9) for x in tree["networks"].values()] and None
    ),
    "document of bytes": lambda path: _replace_document(path, np.zeros(10, np.uint8)),
    "document of many": lambda path: _replace_document(path, np.full((9, 9), "{}")),
    "no document": lambda path: _replace_document(path, None),
}


def _replace_document(path: Path, document: NDArray[Any] | None) -> None:
    with np.load(path) as file:
        arrays = {name: x for name, x in file.items() if name != "arguments"}
    np.savez(path, **arrays | ({} if document is None else {"arguments": document}))


def _change_settings(*edits: str) -> Mutation:
    """A mutation of config.yaml: fields by their dotted name."""

    def apply(path: Path) -> None:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(apply_overrides(tree, [*edits])), encoding="utf-8")

    return apply


_SETTINGS: dict[str, Mutation] = {
    edit: _change_settings(edit)
    for edit in (
        "method=residual", "method=orders", "learner.hidden=[4096, 4096, 4096, 4096, 4096, 4096]",
        "learner.hidden=[64]", "learner.share_parameters=false", "learner.n_step=100",
        "learner.gamma=.nan", "learner.batch_size=1000000000", "pool.capacity_env_steps=1000000000",
        "pool.capacity_env_steps=1", "pool.max_memory_mb=1000000000", "pool.prioritized={}",
        "evaluation.baselines=[odd]", "evaluation.baselines=[null]", "evaluation={}",
        "evaluation.test_episodes=1000000000000", "stop=null", "seed=-1", "odd=1",
        "feedback.mode=[]", "residual.parameters={a: .inf}", "method=__class__",
        "env_runners.num_envs_per_env_runner=4097", "exploration.epsilon=.nan",
    )
}  # fmt: skip


def _list_mutations(path: Path) -> Mapping[str, Mutation]:
    """The mutations of a file of a run folder, by name."""
    of_bytes = {name: MUTATIONS[name] for name in _OF_BYTES}
    if path.name == "policy.npz":
        return of_bytes | _ARRAYS | _DOCUMENTS
    if path.suffix == ".npz":
        return of_bytes | _ARRAYS
    if path.suffix == ".json":
        return MUTATIONS | {name: _change_tree(change) for name, change in _TREES.items()}
    if path.name == "metrics.jsonl":
        return MUTATIONS | {name: _change_lines(change) for name, change in _TREES.items()}
    if path.name == "config.yaml":
        return MUTATIONS | _SETTINGS
    return MUTATIONS


def _change_lines(change: Callable[[Any], object]) -> Mutation:
    def apply(path: Path) -> None:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines[:3]:
            change(line)
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")

    return apply


def _seal(change: Mutation) -> Mutation:
    """A mutation of a checkpoint's file after which the manifest fits: a stranger can do that."""

    def apply(path: Path) -> None:
        change(path)
        manifest = path.parent / MANIFEST_FILE
        before = manifest.read_bytes()
        manifest.unlink()
        try:
            write_manifest(path.parent)
        except (OSError, InputError):
            manifest.write_bytes(before)

    return apply


def _plant(name: str, make: Callable[[Path, Path], object]) -> Mutation:
    """Puts something where a command will write a file of the run; what it stood for is outside."""

    def apply(run: Path) -> None:
        place = run / name
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        make(place, run.parent.parent / OUTSIDE)

    return apply


_PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a link out": lambda place, outside: place.symlink_to(outside),
    "a link to nothing": lambda place, _: place.symlink_to("nothing"),
    "a circle": lambda place, _: place.symlink_to(place.name),
    "a pipe": lambda place, _: os.mkfifo(place),
    "a device": lambda place, _: place.symlink_to("/dev/full"),
    "a folder": lambda place, _: (place / "inner").mkdir(parents=True),
}
_WRITTEN = {
    "resume": (
        *(".lock", "metrics.jsonl", "evaluation.json", "report.html", "config.yaml", "checkpoints"),
        *("checkpoints/latest", "checkpoints/best", "checkpoints/000048", "checkpoints/000032"),
        *("checkpoints/.000048.partial", "versions.json"),
    ),
    "report": ("report.html", "checkpoints", "metrics.jsonl", "evaluation.json"),
}


def _list_planted() -> Iterator[Case]:
    for command in COMMANDS:
        for name in _WRITTEN.get(command.name, ()):
            for kind, make in _PLANTED.items():
                yield Case(command, "run", f"{name} {kind}", _plant(name, make))


def make_run_cases() -> Iterator[Case]:
    """Yields every mutation of every file of every command that reads a run folder."""
    for command in COMMANDS:
        for file in map(Path, command.files):
            sealed = file.parent == CHECKPOINT and file.name != MANIFEST_FILE
            for name, change in _list_mutations(file).items():
                is_policy, is_late = file.name == "policy.npz", command.name in {"resume", "report"}
                if is_policy and is_late and name in _DOCUMENTS:
                    continue  # they read the policy as `evaluate` does
                is_plain = file.name in {"versions.json", "ablation.json"}
                is_cut = command.name == "resume" and file.name == "metrics.jsonl"
                if (is_plain or is_cut) and name in _TREES:
                    continue  # shown as a text, read as evaluation.json is, and only cut off
                yield Case(command, str(file), name, _seal(change) if sealed else change)
    yield from _list_planted()

"""Broken and hostile files, made from good ones: every mutation of every file of every command."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.make_shapes import make_pos
from tests.write_shapes import write_excel, write_parquet, write_sqlite, write_zip

Mutation = Callable[[Path], object]


@dataclass(frozen=True)
class Command:
    """A command line, and the files that it reads, relative to the folder it runs in."""

    name: str
    arguments: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A command after one of its files was changed."""

    command: Command
    file: str
    mutation: str
    change: Mutation

    def __str__(self) -> str:
        return f"{self.command.name}-{self.file}-{self.mutation}"


RUN = "run/checkpoints/000032"
COMMANDS = (
    Command(
        "recommend",
        (
            *("recommend", "--policy", "policy.onnx", "--scenario", "mine.yaml"),
            *("--state", "state.csv", "--goals", "goals.json", "--out", "orders.csv"),
        ),
        ("policy.onnx", "mine.yaml", "state.csv", "goals.json"),
    ),
    Command(
        "from-data",
        (
            *("scenario", "from-data", "--demand", "demand.csv", "--returns", "returns.csv"),
            *("--skus", "skus.csv", "--nodes", "nodes.csv", "--lanes", "lanes.csv"),
            *("--out", "made.yaml", "--fix"),
        ),
        ("demand.csv", "returns.csv", "skus.csv", "nodes.csv", "lanes.csv"),
    ),
    *(
        Command(
            f"from-data-{kind}",
            ("scenario", "from-data", "--demand", file, "--out", "made.yaml", "--fix"),
            (file,),
        )
        for kind, file in (
            ("excel", "sales.xlsx"),
            ("parquet", "sales.parquet"),
            ("sqlite", "sales.db"),
            ("zip", "sales.zip"),
        )
    ),
    Command("validate", ("scenario", "validate", "traced.yaml"), ("traced.yaml", "trace.csv.gz")),
    Command(
        "export",
        ("export", "run", "--out", "again.onnx"),
        ("run/config.yaml", "run/scenario.yaml", "run/checkpoints/best", f"{RUN}/policy.npz"),
    ),
)


def _write(content: bytes) -> Mutation:
    return lambda path: path.write_bytes(content)


def _edit(edit: Callable[[bytes], bytes]) -> Mutation:
    return lambda path: path.write_bytes(edit(path.read_bytes()))


def _flip(seed: int) -> Mutation:
    def flip(content: bytes) -> bytes:
        random, changed = np.random.default_rng(seed), bytearray(content)
        for place in random.integers(len(changed), size=3):
            changed[place] ^= 1 << int(random.integers(8))
        return bytes(changed)

    return _edit(flip)


def _replace(make: Callable[[Path], None]) -> Mutation:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


def _link(target: str) -> Mutation:
    return _replace(lambda path: path.symlink_to(target))


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _repeat_lines(content: bytes) -> bytes:
    head, _, rest = content.partition(b"\n")
    return head + b"\n" + rest * 50


MUTATIONS: dict[str, Mutation] = {
    "empty": _write(b""),
    "blank": _write(b"\n\n \n"),
    "half": _edit(_cut),
    "last byte": _edit(lambda content: content[:-1]),
    "twice": _edit(lambda content: content + content),
    "nul": _edit(lambda content: content[:20] + b"\x00" + content[20:]),
    "zeros": _write(b"\x00" * 1000),
    "not utf-8": _edit(lambda content: content.replace(b"e", b"\xe9")),
    "utf-16": _edit(lambda content: content.decode("latin-1").encode("utf-16")),
    "carriage returns": _edit(lambda content: content.replace(b"\n", b"\r")),
    "deep": _write(b"[" * 100_000),
    "deep objects": _write(b'{"a":' * 100_000),
    "null": _write(b"null"),
    "list": _write(b"[1, 2, 3]"),
    "object": _write(b"{}"),
    "number": _write(b"1e999"),
    "long number": _write(b"9" * 100_000),
    "long name": _write(b"x" * 1_000_000),
    "columns": _write(b"a," * 100_000 + b"\n" + b"1," * 100_000 + b"\n"),
    "rows": _edit(_repeat_lines),
    "aliases": _write(
        b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + b"".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n".encode() for i in range(1, 9))
    ),
    "hexadecimal": _edit(lambda content: content.replace(b"1", b"0x" + b"f" * 4000)),
    "negative": _edit(lambda content: content.replace(b"1", b"-1")),
    "large": _edit(lambda content: content.replace(b"1", b"1" + b"0" * 30)),
    "nan": _edit(lambda content: content.replace(b"1", b"nan")),
    "quote": _edit(lambda content: content.replace(b",", b',"', 1)),
    "gz": _write(b"\x1f\x8b" + b"\x08" * 100),
    "zip": _write(b"PK\x03\x04" + b"\x00" * 100),
    "pipe": _replace(os.mkfifo),
    "folder": _replace(Path.mkdir),
    "device": _link("/dev/zero"),
    "elsewhere": _link("/etc/passwd"),
    "circle": _replace(lambda path: path.symlink_to(path.name)),
    "missing": Path.unlink,
} | {f"bits {seed}": _flip(seed) for seed in range(6)}


def make_cases() -> Iterator[Case]:
    """Yields every mutation of every file."""
    for command in COMMANDS:
        for file in command.files:
            for name, change in MUTATIONS.items():
                yield Case(command, file, name, change)


def write_good_files(folder: Path) -> None:
    """Writes the small good files that the others are made from; not the policy and the run."""
    (folder / "goals.json").write_text(json.dumps({"goals": []}), encoding="utf-8")
    days = [f"2024-01-{day:02}" for day in range(1, 32)]
    rows = [f"{d},S{s},{sku},{4 + s}" for d in days for s in (1, 2) for sku in ("hat", "coat")]
    (folder / "demand.csv").write_text("\n".join(["date,store,sku,units", *rows]), "utf-8")
    (folder / "returns.csv").write_text(
        "date,store,sku,units,sale_date\n2024-01-09,S1,hat,1,2024-01-05\n", "utf-8"
    )
    (folder / "skus.csv").write_text("sku,category,price\nhat,a,10\ncoat,b,21\n", "utf-8")
    (folder / "nodes.csv").write_text("node,kind,parent\nD,dc,\nS1,store,D\nS2,store,D\n", "utf-8")
    (folder / "lanes.csv").write_text("from,to,lead_time\nD,S1,1\nD,S2,1\n", "utf-8")
    for write in (write_excel, write_parquet, write_sqlite, write_zip):
        write(make_pos(40), folder / "sales")

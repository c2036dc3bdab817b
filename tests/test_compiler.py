"""Machine code from disk: what it gives, and what is not imported for it."""

import subprocess
import sys
from pathlib import Path

MODULE = """
import sys

import numpy as np

from envs.compiler import compiled


@compiled
def add_up(units):
    total = 0
    for value in units:
        total += value
    return total


print(add_up(np.arange(5)), sum(add_up.stats.cache_hits.values()))
print("numba.np.arraymath" in sys.modules, "scipy.linalg" in sys.modules)
"""


def run_python(*words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    return done.stdout.split()


def test_compiled__is_compiled_once_then_loaded_without_the_compiler(tmp_path: Path) -> None:
    script = tmp_path / "kernel.py"
    script.write_text(MODULE)
    code = f"import runpy; runpy.run_path({str(script)!r})"
    assert run_python("-c", code) == ["10", "0", "True", "True"]
    assert run_python("-c", code) == ["10", "1", "False", "False"]


def test_compiled__an_index_that_cannot_be_read_is_compiled_anew(tmp_path: Path) -> None:
    script = tmp_path / "kernel.py"
    script.write_text(MODULE)
    code = f"import runpy; runpy.run_path({str(script)!r})"
    assert run_python("-c", code) == ["10", "0", "True", "True"]
    (index,) = (tmp_path / "__pycache__").glob("kernel.add_up-*.nbi")
    whole = index.read_bytes()
    gone = whole.replace(b"numba.core.types", b"numba.core.typed")
    assert gone != whole
    for content in (gone, whole[:-20]):
        index.write_bytes(content)
        assert run_python("-c", code) == ["10", "0", "True", "True"]
        assert run_python("-c", code) == ["10", "1", "False", "False"]

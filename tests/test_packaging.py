import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Folders that many machines have: a text may name one without telling where this checkout lies.
COMMON_FOLDERS = {"/", "/tmp", "/home", "/opt", "/root", "/srv", "/usr/src"}

# A fresh interpreter imports every module below envs, then lists what came along.
IMPORT_ALL_OF_ENVS = """
import importlib, pkgutil, sys
import envs.omnichannel
for module in pkgutil.walk_packages(envs.__path__, "envs."):
    importlib.import_module(module.name)
print(*sorted({"marl", "ray", "torch"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", ["envs", "marl"])
def test_import__finds_the_package_of_this_repository(name: str) -> None:
    # Foreign packages of both names exist and would be imported without a word.
    package = importlib.import_module(name)
    assert [Path(folder).resolve() for folder in package.__path__] == [ROOT / name]


def test_envs__brings_in_neither_marl_nor_ray_nor_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL_OF_ENVS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_ci__runs_the_script_of_the_developer() -> None:
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize("name", [".ci/run", "scripts/test", "scripts/train"])
def test_script__can_be_executed(name: str) -> None:
    assert (ROOT / name).stat().st_mode & 0o111 == 0o111


def test_tracked_files__do_not_name_the_folder_of_the_checkout() -> None:
    # safe.directory: in a container the checkout often belongs to another user.
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip(f"no list of tracked files: {listing.stderr.strip()}")
    parent = str(ROOT.parent)
    folder = str(ROOT) if parent in COMMON_FOLDERS else parent
    # Neither the end of a longer path or address, nor the start of a longer name.
    pattern = re.compile(rb"(?<![\w.~$}-])" + re.escape(folder.encode()) + rb"(?![\w-])")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    # A file that is deleted but not yet committed is still in the list.
    guilty = [path for path in paths if path.is_file() and pattern.search(path.read_bytes())]
    assert guilty == []

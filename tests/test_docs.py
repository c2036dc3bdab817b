"""The pages and the README do what they say: every Python block runs, every command parses.

The blocks of a page share one namespace, in order. A block that only includes a script of examples/
is run by test_examples.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from marl.commands.cli import app, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([\w ]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Commands of seconds, which run; the others take minutes or need a run, and are parsed.
QUICK = ("omnichannel scenario", "omnichannel evaluate before -s tiny", "omnichannel evaluate ex")


def read_blocks(page: Path, language: str) -> list[str]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [block for kind, block in found if kind.strip() == language]


def read_commands(page: Path) -> list[str]:
    """Lines of shell blocks that call us; a block without a language may be output."""
    blocks = read_blocks(page, "bash") + read_blocks(page, "")
    joined = [block.replace("\\\n", " ") for block in blocks]  # lines that go on
    lines = [line.strip() for block in joined for line in block.splitlines()]
    return [line.partition(" #")[0] for line in lines if line.startswith("omnichannel ")]


COMMANDS = sorted({command for page in PAGES for command in read_commands(page)})


def parse(arguments: list[str]) -> None:
    """Parses a command line without running it; a mistake in it is a UsageError."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[arguments[0]]
        arguments = arguments[1:]
    command.make_context(command.name, list(arguments))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page__its_python_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for block in read_blocks(page, "python"):
        if "--8<--" not in block:
            exec(compile(block, page.name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page__includes_scripts_that_exist(page: Path) -> None:
    included = re.findall(r'--8<-- "(.*?)(?::\w+)?"', page.read_text(encoding="utf-8"))
    assert [name for name in included if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_command__is_one_that_the_command_line_knows(command: str) -> None:
    parse(shlex.split(command)[1:])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith(QUICK)])
def test_command__runs(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", shlex.split(command))
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert capsys.readouterr().out


def test_commands__are_found_on_the_pages() -> None:
    assert len(COMMANDS) >= 10


def test_site__builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "api" / "index.html").read_text(encoding="utf-8")
    assert "Begins an episode" in reference  # docstrings are in it
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    listed = set(re.findall(r": ([\w-]+)\.md$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M))
    assert listed == pages

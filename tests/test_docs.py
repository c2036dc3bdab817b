"""The pages do what they say: every block of code is run or parsed, every link and file exists.

The blocks of a page share one namespace, in order. A block that only includes a script of examples/
is run by test_examples.
"""

import gzip
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import ValidationError

from envs.omnichannel.scenario import Scenario, load_scenario
from marl.commands.cli import app, main
from marl.config import TrainConfig
from scripts.architecture import PAGE as FILE_MAP
from scripts.architecture import make_page

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / ".github" / "CONTRIBUTING.md",
    ROOT / "cluster" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^( *)```([\w]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

# Commands of seconds, which run; the others take minutes or need a run, and are parsed.
QUICK = (
    "omnichannel scenario list", "omnichannel scenario show", "omnichannel scenario validate tiny",
    "omnichannel evaluate before -s tiny", "omnichannel evaluate ex",
)  # fmt: skip
# Programs of others that a block may call; of these nothing more is checked.
OTHERS = {"pip", "ray", "tensorboard", ".venv/bin/tensorboard", ".venv/bin/pre-commit"}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read_blocks(page: Path, language: str) -> list[str]:
    return [block for _, kind, block in FENCE.findall(read(page)) if kind == language]


def read_prose(page: Path) -> str:
    """Returns the page without its blocks of code and comments."""
    return re.sub(r"<!--.*?-->", "", FENCE.sub("", read(page)), flags=re.DOTALL)


def read_lines(page: Path) -> list[str]:
    """Returns the commands of the shell blocks, without comments."""
    joined = [block.replace("\\\n", " ") for block in read_blocks(page, "bash")]
    lines = [line.partition(" #")[0].strip() for block in joined for line in block.splitlines()]
    return [line for line in lines if line]


def make_ours(line: str) -> str:
    """Returns a line of a shell block as a call of our program, or nothing."""
    if line.startswith("./scripts/train"):
        return line.replace("./scripts/train", "omnichannel train", 1)
    line = line.removeprefix(".venv/bin/")
    return line if line.startswith("omnichannel ") else ""


def find_commands(page: Path) -> Iterator[str]:
    """Yields our commands of the shell blocks and of the text."""
    yield from filter(None, map(make_ours, read_lines(page)))
    inline = re.findall(r"`(omnichannel [^`\n]*)`", read_prose(page))
    yield from (command for command in inline if command not in ALL_COMMANDS)


def list_all_commands(group: Any, before: str = "omnichannel") -> dict[str, set[str]]:
    """Returns the name of each command -> its options."""
    found: dict[str, set[str]] = {before: set()}
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= list_all_commands(command, f"{before} {word}")
        else:
            options = [option for parameter in command.params for option in parameter.opts]
            found[f"{before} {word}"] = {option for option in options if option.startswith("--")}
    return found


ALL_COMMANDS = list_all_commands(typer.main.get_command(app))
COMMANDS = sorted({command for page in PAGES for command in find_commands(page)})


def parse(arguments: list[str]) -> None:
    """Parses a command line without running it; a mistake in it is a UsageError."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[arguments[0]]
        arguments = arguments[1:]
    command.make_context(command.name, list(arguments))


pages = pytest.mark.parametrize("page", PAGES, ids=name)


@pages
def test_page__its_python_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for block in read_blocks(page, "python"):
        if "--8<--" not in block:
            exec(compile(block, page.name, "exec"), namespace)


@pages
def test_page__its_yaml_blocks_are_parts_of_a_scenario_or_a_configuration(page: Path) -> None:
    for block in read_blocks(page, "yaml"):
        part = yaml.safe_load(block)
        try:
            TrainConfig.model_validate(part)
        except ValidationError:
            Scenario.model_validate(load_scenario("tiny").model_dump() | part)


@pages
def test_page__every_block_says_what_it_is(page: Path) -> None:
    kinds = {kind for _, kind, _ in FENCE.findall(read(page))}
    assert kinds <= {"bash", "python", "yaml", "text"}


@pages
def test_page__its_shell_blocks_call_programs_that_exist(page: Path) -> None:
    for line in read_lines(page):
        program = shlex.split(line)[0]
        script = ROOT / program
        known = make_ours(line) or program in OTHERS or program.startswith(".venv/bin/mkdocs")
        assert known or (program.startswith("./scripts/") and script.stat().st_mode & 0o111), line


@pages
def test_page__includes_scripts_that_exist(page: Path) -> None:
    included = re.findall(r'--8<-- "(.*?)(?::\w+)?"', read(page))
    assert [script for script in included if not (ROOT / script).is_file()] == []


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


@pytest.mark.slow
def test_readme__five_commands_lead_from_sales_to_orders(tmp_path: Path) -> None:
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(90)]
    rows = [
        f"{day},{store},{sku},{day.day % 9}"
        for day in days for store in "ab" for sku in ("pen", "cup")
    ]  # fmt: skip
    text = "date,store,sku,units\n" + "\n".join(rows) + "\n"
    (tmp_path / "demand.csv.gz").write_bytes(gzip.compress(text.encode()))
    next_day = days[-1] + timedelta(days=1)
    sales = "".join(f"{next_day},{store},pen,4\n" for store in "ab")
    (tmp_path / "yesterday.csv").write_text(f"date,store,sku,units\n{sales}", "utf-8")
    section = read(README).partition("## Your own data")[2].partition("```bash\n")[2]
    commands = section.partition("```")[0].replace("--minutes 2", "--episodes 64").splitlines()
    assert len(commands) == 5
    for command in commands:
        arguments = shlex.split(make_ours(command).partition(" #")[0])[1:]
        done = subprocess.run(
            [sys.executable, "-m", "marl.commands.cli", *arguments],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
    header, first, *_ = (tmp_path / "orders.csv").read_text("utf-8").splitlines()
    assert header.startswith("order_date,arrival_date,from,to")
    assert first.startswith(str(next_day + timedelta(days=1)))


def test_commands__are_found_on_the_pages() -> None:
    assert len(COMMANDS) >= 30


def test_commands_page__has_every_command_with_its_options() -> None:
    rows = re.findall(r"^\| `(omnichannel [^`]*)` \|(.*)\|$", read(ROOT / "docs/commands.md"), re.M)
    written = {command: set(re.findall(r"`(--[\w-]+)`", text)) for command, text in rows}
    groups = {"omnichannel", "omnichannel scenario"}
    assert written == {
        name: options for name, options in ALL_COMMANDS.items() if name not in groups
    }


def test_readme__fits_on_150_lines() -> None:
    assert len(read(README).splitlines()) <= 150


def find_anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", read(page)), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"\s+", "-", heading) for heading in plain}


@pages
def test_page__its_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read_prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.is_file(), target
        assert not anchor or anchor in find_anchors(found), target


@pages
def test_page__names_files_that_exist(page: Path) -> None:
    places = r"`((?:envs|marl|docs|tests|scripts|examples|cluster|\.github)/[\w./-]+)`"
    missing = [path for path in re.findall(places, read_prose(page)) if not (ROOT / path).exists()]
    assert missing == []


@pages
def test_page__names_parts_of_the_packages_that_exist(page: Path) -> None:
    for dotted in re.findall(r"(?:`|::: )((?:envs|marl)(?:\.\w+)+)`?", read_prose(page)):
        assert pkgutil.resolve_name(dotted) is not None, dotted


def test_glossary__has_a_file_for_every_term() -> None:
    rows = re.findall(r"^\| (?!-|term)(.*) \|$", read(ROOT / "docs/glossary.md"), re.MULTILINE)
    assert len(rows) >= 40
    for row in rows:
        term, meaning, file = row.split(" | ")
        assert term, row
        assert meaning, row
        assert (ROOT / file.strip("`")).is_file(), row


def test_file_map__is_what_the_script_writes() -> None:
    assert read(FILE_MAP) == make_page(), "run: .venv/bin/python scripts/architecture.py"
    questions = re.findall(r"^(?:\| `[\w.]+` \| )?(?:What|Who|How|Where) .*$", read(FILE_MAP), re.M)
    assert questions == [], "a module's first line has a subject"


@pages
def test_page__writes_decimals_with_their_zero(page: Path) -> None:
    assert re.findall(r"[^\s]*(?<![\w.`])[-+±]?\.\d\S*", read_prose(page)) == []


def list_sentences(page: Path) -> set[str]:
    """Returns the sentences of the page, cells of tables among them, in lower case."""
    text = re.sub(r"\]\([^)]*\)|[`*\[]", "", read_prose(page))
    parts = re.split(r"(?<=[.!?])\s+|\n\s*\n|\n\s*(?:[-#]|\d+\.) |\||\n(?=\|)", text)
    return {" ".join(part.lower().split()).rstrip(".") for part in parts}


def test_pages__say_everything_once() -> None:
    places = defaultdict(list)
    for page in PAGES:
        if page != FILE_MAP:
            for sentence in list_sentences(page):
                places[sentence].append(name(page))
    twice = {
        sentence: found
        for sentence, found in places.items()
        if len(found) > 1 and len(sentence.split()) >= 6
    }
    assert twice == {}


def read_result(part: str) -> Any:
    return json.loads(read(ROOT / "docs" / "results" / f"{part}.json"))


def test_readme__its_ranges_over_seeds_are_those_of_the_results() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\](.*)\|$", read(README), re.MULTILINE)
    written = {
        scenario: [float(number) for number in re.findall(r"\d+\.\d+", text.split(" | ")[2])]
        for scenario, text in rows
    }
    found = {
        "paper": [
            round(seed["reward"]["mean"], 4)
            for seed in read_result("paper")["seeds"]
            if seed["name"] == "average"
        ],
        "retail": [round(seed["cost/total"]["mean"], 1) for seed in read_result("retail")["seeds"]],
    }
    for scenario in ("volatile", "scarce"):
        found[scenario] = [
            round(100 * seed["saved_share_at_equal_service"]["mean"], 1)
            for seed in read_result(f"contest-{scenario}")["seeds"]
        ]
    periods = read_result("owmr")["periods"]
    found["owmr"] = [
        round(periods * seed["cost/total"]["mean"], 1) for seed in read_result("owmr")["seeds"]
    ]
    found["lost_sales"] = [
        round(100 * (seed["cost"] / system["optimum"] - 1), 2)
        for system in read_result("lost_sales")["instances"]
        for seed in system["seeds"]
    ]
    for scenario, values in found.items():
        assert written[scenario] == [min(values), max(values)], scenario


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
    stems = {path.stem for path in (ROOT / "docs").glob("*.md")}
    listed = set(re.findall(r": ([\w-]+)\.md$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M))
    assert listed == stems

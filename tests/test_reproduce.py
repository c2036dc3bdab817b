from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts.reproduction.agents import tabulate_paper
from scripts.reproduction.common import RESULTS, ROOT, make_page
from scripts.reproduction.contest import tabulate_contest
from scripts.reproduction.order_quantities import tabulate_lost_sales, tabulate_owmr
from scripts.reproduction.variants import tabulate_variants

TABLES: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "contest": tabulate_contest,
    "retail": tabulate_paper,
    "paper": tabulate_paper,
    "transfer": tabulate_paper,
    "lost_sales": tabulate_lost_sales,
    "owmr": tabulate_owmr,
    "coordination": tabulate_variants,
    "ablation": tabulate_variants,
}


def test_reproduce__starts_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "{" + ",".join(TABLES) + "}" in done.stdout.replace("\n", "")


@pytest.mark.parametrize("numbers", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_make_page__committed_pages_show_their_numbers(numbers: Path) -> None:
    result = json.loads(numbers.read_text(encoding="utf-8"))
    part = result["command"].split()[1]
    page = make_page(numbers.stem, result, TABLES[part](result))
    assert page == numbers.with_suffix(".md").read_text(encoding="utf-8")

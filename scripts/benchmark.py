"""Prints the speed table that `omnichannel benchmark` prints, for any scenario.

How to run, from the repository root:

    .venv/bin/python scripts/benchmark.py [--quick] [--scenario NAME|FILE] [--json FILE]

What to expect: PLACEHOLDER
"""

import argparse
import json
from pathlib import Path

from rich.console import Console

from marl.benchmark import make_table, run_benchmark


def main() -> None:
    """Reads the options, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a first look")
    parser.add_argument("--scenario", default="paper", help="built-in name or a YAML file")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    rows = run_benchmark(quick=arguments.quick, scenario=arguments.scenario)
    Console().print(make_table(rows))
    if arguments.json:
        data = {"rows": [row.to_json() for row in rows]}
        arguments.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

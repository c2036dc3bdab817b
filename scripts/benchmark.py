"""Prints the speed table that `omnichannel benchmark` prints, for any scenario.

How to run, from the repository root:

    .venv/bin/python scripts/benchmark.py [--quick] [--scenario NAME|FILE] [--json FILE]

A line under the table says whether two cores were free; rows with actors need that. It takes
about a minute, `--quick` about half of it, where nothing else runs.

What to expect, on two virtual cores and scenario `paper` (in brackets: ratio to another row):

    simulator x256         267 k env steps/s
    environment x256        77 k  (0.29 of the simulator)
    sampling in process   10-17 k  (0.30 to 0.46 of the networks' forward passes alone)
    runner actors x1        15 k  (0.9 of sampling in process, both undisturbed)
    runner actors x2     19-29 k  (1.5 to 2.0 of one)
    learner            550-635 k transitions/s  (1.8 to 2.5 of a bare torch loop)
    end to end               4.5-6 k env steps/s and 430-600 k transitions learnt/s
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

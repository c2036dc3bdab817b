"""Regenerates the tables of docs/results/: what learns, against what, with intervals.

How to run, from the repository root; parts can be interrupted and go on where they stopped:

    .venv/bin/python scripts/reproduce.py contest --scenario volatile
    .venv/bin/python scripts/reproduce.py contest --scenario scarce
    .venv/bin/python scripts/reproduce.py curve --scenario volatile --seeds 1 --minutes 15
    .venv/bin/python scripts/reproduce.py retail --seeds 3
    .venv/bin/python scripts/reproduce.py grocer --seeds 3
    .venv/bin/python scripts/reproduce.py paper
    .venv/bin/python scripts/reproduce.py transfer
    .venv/bin/python scripts/reproduce.py lost_sales --seeds 3
    .venv/bin/python scripts/reproduce.py owmr --seeds 3
    .venv/bin/python scripts/reproduce.py coordination --seeds 5
    .venv/bin/python scripts/reproduce.py ablation --seeds 3
    .venv/bin/python scripts/reproduce.py residual --seeds 3
    .venv/bin/python scripts/reproduce.py spread --scenario retail --seeds 3
    .venv/bin/python scripts/reproduce.py sellers --seeds 3
    .venv/bin/python scripts/reproduce.py spot
    .venv/bin/python scripts/reproduce.py vn2 --data DIR --origin 2024-02-12
    .venv/bin/python scripts/reproduce.py vn2 --data DIR --windows 10

- `contest`: every classical family, tuned; then residual agents around the best of them, five
  seeds of two minutes, compared as they are and at equal on-time service. Beside them rollouts of
  the best rule on imagined futures (the slowest part: `--rollout-episodes 0` leaves them out), and
  agents of the absolute grid, which know no rule.
- `curve`: what residual agents gain over the best rule, minute by minute of a long training.
- `retail`: residual agents around the best rule on recorded demand, run on the months held back.
- `grocer`: the same under packs, trucks, calendars, minimums and shelf lives.
- `paper`: the 34 agents on the paper's network, five seeds, from the `before` policy on.
- `transfer`: agents that were trained on 10 stores x 4 SKUs run 100 stores x 50 SKUs.
- `lost_sales`: agents that choose order quantities, on nine systems whose optimum is known.
- `owmr`: the same agents in the divergent network, against the tuned rules and published numbers.
- `coordination`: the paper's network, its agents' proposals combined in every way there is.
- `ablation`: the paper's network, the learner's options on and off at the same budget.
- `residual`: the options of residual agents and their branches on `volatile`, a minute each.
- `spread`: agents that see how demand scatters and order in sigmas, on `paper`, `volatile`,
  `scarce` or `retail`, against those that do not, from the same seeds at the same budget.
- `sellers`: twelve SKUs of unequal demand, drawn alike from the pool or by their demand.
- `spot`: some forty of the stored numbers, computed anew in minutes and compared bit for bit.
- `vn2`: the protocol of the VN2 contest on its own files, which are not in the repository. The
  origin is the last week that is known; rolling windows before the contest make the page.

Runs are kept in runs/reproduce/, results are written to docs/results/. Validation episodes choose
the checkpoint, fresh episodes report.

Every part keeps to one core, so two of them can run side by side (`taskset --cpu-list 1` for the
second one). On an idle core they take about: contest 45 minutes each, coordination 30 a seed,
paper 55, residual, ablation and lost_sales 30, retail, curve, owmr, sellers and transfer 20.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# This checkout's packages, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.reproduction.agents import run_paper, run_retail, run_transfer
from scripts.reproduction.common import RESULTS
from scripts.reproduction.contest import CONTEST_MINUTES, run_contest
from scripts.reproduction.curve import run_curve
from scripts.reproduction.grocer import run_grocer
from scripts.reproduction.order_quantities import run_lost_sales, run_owmr
from scripts.reproduction.spot import run_spot
from scripts.reproduction.spread import run_spread
from scripts.reproduction.variants import (
    run_ablation,
    run_coordination,
    run_residual,
    run_sellers,
)
from scripts.reproduction.vn2 import run_vn2

PARTS = {
    "contest": run_contest,
    "curve": run_curve,
    "retail": run_retail,
    "grocer": run_grocer,
    "paper": run_paper,
    "transfer": run_transfer,
    "lost_sales": run_lost_sales,
    "owmr": run_owmr,
    "coordination": run_coordination,
    "ablation": run_ablation,
    "residual": run_residual,
    "spread": run_spread,
    "sellers": run_sellers,
    "spot": run_spot,
    "vn2": run_vn2,
}


def main() -> None:
    """Runs the part that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--scenario", default="volatile")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=CONTEST_MINUTES)
    contest = parser.add_argument_group("contest")
    contest.add_argument("--grid-minutes", type=float, default=10.0, help="its longer training")
    contest.add_argument("--rollout-episodes", type=int, default=32, help="0: no rollouts")
    contest.add_argument("--futures", type=int, default=32, help="of each decision of the rollouts")
    contest.add_argument(
        "--rollout-horizons", type=int, nargs=2, default=(6, 16), metavar="DAYS",
        help="periods that loads and supplier orders are tried for",
    )  # fmt: skip
    vn2 = parser.add_argument_group("vn2")
    vn2.add_argument("--data", type=Path, metavar="DIR", help="the folder of the contest's files")
    vn2.add_argument("--origin", metavar="DATE", help="the last known week's Monday")
    vn2.add_argument("--windows", type=int, default=0, help="rolling windows, for the page")
    vn2.add_argument("--policies", nargs="+", metavar="NAME", help="all if left out")
    vn2.add_argument("--json", type=Path, metavar="FILE", help="also writes the costs there")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    PARTS[options.part](options)


if __name__ == "__main__":
    main()

"""A back-test as a table for the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from marl.forecasting.backtest import BANDS, BackTest, Score

_COLUMNS = ("cells", "number", "units", "bias, %", "WAPE, %", "RMSSE", "log score")


def make_table(name: str, found: BackTest) -> Table:
    """Returns a row for each number of days that is foreseen as one sum, and class of cells.

    Args:
        name: of the scenario.
        found: to be shown.
    """
    table = Table(
        title=f"{name}: forecasts of {found.held_back} held-back {found.period}s, made before each",
        caption=(
            "Bands: % of the forecasts whose central band held what was sold. Units at the edge of "
            "a band count by the part of their probability inside; in brackets the band of whole "
            f"units, which holds more. Variances x {found.spread.scale:.2f}, levels move by "
            f"{100 * found.spread.drift:.0f}%, fitted to the training "
            f"{found.period}s."
        ),
        box=SIMPLE_HEAD,
    )
    for column in (f"{found.period}s", *_COLUMNS):
        table.add_column(column, justify="left" if column == "cells" else "right")
    for band in BANDS:
        table.add_column(f"{100 * band:.0f}% band", justify="right")
    for before, score in zip((None, *found.scores), found.scores, strict=False):
        if before is not None and before.days != score.days:
            table.add_section()
        table.add_row(*_make_row(score))
    return table


def _make_row(score: Score) -> list[str]:
    return [
        str(score.days),
        score.cells,
        str(score.num_cells),
        f"{score.units:.2f}",
        f"{100 * score.bias:+.1f}",
        f"{100 * score.wape:.1f}",
        "" if score.rmsse is None else f"{score.rmsse:.3f}",
        f"{score.log_score:.3f}",
        *(
            f"{100 * held:.1f} ({100 * score.plain_coverage[band]:.1f})"
            for band, held in score.coverage.items()
        ),
    ]

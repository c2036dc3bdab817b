"""Makes the bundled data of `envs/omnichannel/data` from the full tables.

How to run, from the repository root:

    .venv/bin/python scripts/make_data.py PATH_TO_TABLES

`PATH_TO_TABLES` holds `grocery_stores/` and `online_gifts/`, with the columns that
`envs/omnichannel/data/README.md` describes. The same tables give the same bytes.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import pandas as pd

TARGET = Path(__file__).resolve().parents[1] / "envs" / "omnichannel" / "data"

N_DELAY_DAYS = 60
OUTLIER_UNITS = 500  # return lines of this many units and more are wholesale or corrections


def make_grocery(source: Path, target: Path) -> None:
    """Writes demand with a row per date and store and a column per SKU, SKUs and stores."""
    skus = pd.read_csv(source / "skus.csv", dtype={"sku": str})
    stores = pd.read_csv(source / "stores.csv", dtype={"store": str})
    demand = pd.read_csv(source / "demand.csv.gz", dtype={"sku": str, "store": str})
    wide = demand.pivot_table(index=["date", "store"], columns="sku", values="units", aggfunc="sum")
    rows = pd.MultiIndex.from_product(
        [sorted(demand["date"].unique()), stores["store"]], names=["date", "store"]
    )
    # Stores and SKUs in the order of their own tables, so that indices mean the same in both.
    wide = wide.reindex(index=rows, columns=skus["sku"])
    if wide.isna().to_numpy().any():
        raise ValueError("demand.csv.gz is not dense: every date x store x sku needs a row")
    text = wide.astype(np.int64).reset_index().to_csv(index=False, lineterminator="\n")
    # No time stamp in the header: the file must not differ from one run to the next.
    (target / "grocery_demand.csv.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    skus.to_csv(target / "grocery_skus.csv", index=False, lineterminator="\n")
    stores.to_csv(target / "grocery_stores.csv", index=False, lineterminator="\n")


def make_return_rates(source: Path, target: Path) -> None:
    """Writes three return rates per category: of lines, of units, of units without outliers."""
    categories = pd.read_csv(source / "category_returns.csv").set_index("category")
    credit_lines = pd.read_csv(source / "return_delays.csv.gz", dtype={"sku": str})
    # A credit on the day of the sale is a cancelled order; a blank delay is a return.
    returns = credit_lines[credit_lines["delay_days"] != 0]
    kept = returns[returns["units"] < OUTLIER_UNITS].groupby("category")["units"].sum()
    rates = categories[["units_sold", "return_rate_lines", "return_rate_units"]].copy()
    rates["return_rate_units_no_outliers"] = (kept / rates["units_sold"]).round(5)
    rates.reset_index().to_csv(
        target / "online_gifts_return_rates.csv", index=False, lineterminator="\n"
    )


def make_return_delays(source: Path, target: Path) -> None:
    """Writes the share of return lines per delay in days; the last day holds all later ones."""
    credit_lines = pd.read_csv(source / "return_delays.csv.gz", dtype={"sku": str})
    delays = credit_lines.loc[credit_lines["delay_days"] >= 1, "delay_days"].astype(np.int64)
    lines = np.bincount(delays.clip(upper=N_DELAY_DAYS), minlength=N_DELAY_DAYS + 1)[1:]
    table = pd.DataFrame(
        {
            "day": np.arange(1, N_DELAY_DAYS + 1),
            "lines": lines,
            "probability": (lines / lines.sum()).round(6),
        }
    )
    table.to_csv(target / "online_gifts_return_delays.csv", index=False, lineterminator="\n")


def main() -> None:
    """Reads the folder of the tables from the command line and writes every file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="folder with grocery_stores/ and online_gifts/")
    parser.add_argument("--target", type=Path, default=TARGET, help="where the files go")
    arguments = parser.parse_args()
    source, target = arguments.source, arguments.target
    target.mkdir(parents=True, exist_ok=True)
    make_grocery(source / "grocery_stores", target)
    make_return_rates(source / "online_gifts", target)
    make_return_delays(source / "online_gifts", target)
    for path in sorted(target.glob("*.csv*")):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

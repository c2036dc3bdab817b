"""Small files in the shapes that real systems export, and the totals that they hold."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Cells = list[list[str]]
FIRST = dt.date(2024, 1, 1)  # a Monday


@dataclass(frozen=True)
class Shape:
    """A file as its system writes it, and what must be read of it."""

    rows: Cells  # the header first
    layout: str
    units: float
    returned: float = 0
    left_out: int = 0
    frequency: str = "day"
    separator: str = ","
    stores: int = 2
    skus: int = 2
    first: dt.date = FIRST

    @property
    def text(self) -> str:
        return "".join(self.separator.join(row) + "\n" for row in self.rows)


def _draw(periods: int, seed: int = 1) -> np.ndarray:
    """Units of two stores and two SKUs, (periods, 2, 2)."""
    return np.random.default_rng(seed).poisson(3, (periods, 2, 2))


def make_m5(days: int = 60) -> Shape:
    units = _draw(days)
    header = ["id", "item_id", "dept_id", "cat_id", "store_id", "state_id"]
    rows = [header + [f"d_{d + 1}" for d in range(days)]]
    rows += [
        [f"F_{k}_CA_{s}", f"F_{k}", "F", "FOODS", f"CA_{s}", "CA", *map(str, units[:, s, k])]
        for s in range(2)
        for k in range(2)
    ]
    return Shape(rows, "M5", units.sum(), first=dt.date(2011, 1, 29))


def make_favorita(days: int = 60) -> Shape:
    """No zero rows; SKU 9 in kilos, SKU 8 with returns."""
    rows = [["id", "date", "store_nbr", "item_nbr", "unit_sales", "onpromotion"]]
    sold = back = 0.0
    for d, by_store in enumerate(_draw(days)):
        for s, (pieces, kilos) in enumerate(by_store):
            amounts = {
                "8": -1.0 if d % 20 == 5 else float(pieces),
                "9": kilos + (d % 7) / 8 + 0.001,
            }
            for sku, amount in amounts.items():
                if amount:
                    date = str(FIRST + dt.timedelta(d))
                    rows.append(
                        [str(len(rows)), date, str(s), sku, f"{amount:.3f}", str(d % 9 == 0)]
                    )
                    sold, back = sold + max(amount, 0), back + max(-amount, 0)
    return Shape(rows, "Favorita", round(sold, 6), back)


def make_rossmann(days: int = 60) -> Shape:
    rows = [["Store", "DayOfWeek", "Date", "Sales", "Customers", "Open", "Promo", "StateHoliday"]]
    units = _draw(days)[:, :, 0] * 1000
    for d, by_store in enumerate(units):
        for s, sales in enumerate(by_store):
            day = FIRST + dt.timedelta(d)
            rows.append([str(s + 1), str(d % 7 + 1), str(day), str(sales), "50", "1", "0", '"0"'])
    return Shape(rows, "Rossmann", units.sum(), skus=1)


def make_ledger(days: int = 60) -> Shape:
    """Sales, receipts and a return; German numbers and dates."""
    header = ["Posting Date", "Plant", "Material", "Movement type", "Quantity", "Unit of Entry"]
    rows, units = [header], _draw(days)
    for d, s, k in np.ndindex(units.shape):
        day = f"{FIRST + dt.timedelta(d):%d.%m.%Y}"
        rows.append([day, f"10{s}0", f"00047{k}", "601", f"-{units[d, s, k]},000", "EA"])
        if d % 7 == 0:
            rows.append([day, f"10{s}0", f"00047{k}", "101", "24,000", "EA"])
        if (d, s) == (9, 0):
            rows.append([day, f"10{s}0", f"00047{k}", "653", "2,000", "EA"])
    return Shape(rows, "SAP ledger", units.sum(), 4, 4 * -(-days // 7), separator=";")


def make_shopify(days: int = 60) -> Shape:
    header = ["Name", "Email", "Paid at", "Created at", "Lineitem quantity", "Lineitem name"]
    rows = [[*header, "Lineitem price", "Lineitem sku", "Location"]]
    units = _draw(days)[:, 0] + 1
    for d, k in np.ndindex(units.shape):
        for part in (1, units[d, k] - 1):
            at = f"{FIRST + dt.timedelta(d)} 23:{15 + part}:03 +0100"
            sku = "" if k else "TS-M"
            rows.append([f"#{d}", "x@example.com", at, at, str(part), "T-Shirt", "19.95", sku, ""])
    return Shape(rows, "Shopify", units.sum(), stores=1)


def make_pos(days: int = 60) -> Shape:
    """Lines of tills: one unit each, returns as -1."""
    rows, units = [["date", "store", "sku", "units", "price"]], _draw(days)
    for d, s, k in np.ndindex(units.shape):
        day = str(FIRST + dt.timedelta(d))
        rows += [[day, "Köln" if s else "Berlin", f"SKU{k}", "1", "9.99"]] * int(units[d, s, k])
        if d % 10 == 3:
            rows.append([day, "Köln" if s else "Berlin", f"SKU{k}", "-1", "9.99"])
    return Shape(rows, "long", units.sum(), 4 * (days // 10))


def make_pos_times(days: int = 60) -> Shape:
    rows, units = [["date", "store", "sku", "units"]], _draw(days)
    for d, s, k in np.ndindex(units.shape):
        rows += [
            [f"{FIRST + dt.timedelta(d)} 09:{n:02}:30", f"S{s}", f"SKU{k}", "1"]
            for n in range(units[d, s, k])
        ]
    return Shape(rows, "long", units.sum())


def make_vn2(weeks: int = 60) -> Shape:
    units = _draw(weeks)
    rows = [["Store", "Product", *(str(FIRST + dt.timedelta(7 * w)) for w in range(weeks))]]
    rows += [[str(s), f"12{k}", *map(str, units[:, s, k])] for s in range(2) for k in range(2)]
    return Shape(rows, "VN2", units.sum(), frequency="week")


def make_weekly(weeks: int = 60) -> Shape:
    rows, units = [["date", "store", "sku", "units"]], _draw(weeks)
    for w, s, k in np.ndindex(units.shape):
        day = FIRST + dt.timedelta(7 * w)
        rows.append([str(day), "AB"[s], "XY"[k], str(units[w, s, k])])
    return Shape(rows, "long", units.sum(), frequency="week")


def make_iso_weeks(weeks: int = 60) -> Shape:
    shape = make_weekly(weeks)
    rows = [["week", *shape.rows[0][1:]]]
    for row in shape.rows[1:]:
        year, week, _ = dt.date.fromisoformat(row[0]).isocalendar()
        rows.append([f"{year}-W{week:02}", *row[1:]])
    return Shape(rows, "long", shape.units, frequency="week")


DAILY: dict[str, Callable[[], Shape]] = {
    "m5": make_m5,
    "favorita": make_favorita,
    "rossmann": make_rossmann,
    "ledger": make_ledger,
    "shopify": make_shopify,
    "pos": make_pos,
    "pos_times": make_pos_times,
}
WEEKLY: dict[str, Callable[[], Shape]] = {
    "vn2": make_vn2,
    "weekly": make_weekly,
    "iso_weeks": make_iso_weeks,
}

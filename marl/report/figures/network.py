"""The inside of the network: stock (Fig. 4), flows, and the proposals of each agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, Network
from marl.report.figures.base import (
    Control,
    Figure,
    Json,
    Plot,
    get_colour,
    get_dash,
    make_label,
    make_layout,
    show_plainly,
    to_list,
)
from marl.report.recording import PROPOSING_MODULES, Recording, Selection

MOST_STORES = 12  # of the flow diagram; the others are drawn as one
# Ledger entries of what a channel is sold: from the store, from the DC.
_SALES = {
    "store": ("sold_store", "store_from_dc"),
    "online": ("online_from_store", "online_from_dc"),
    "pickup": ("sold_pickup", "pickup_from_dc"),
}
# Where returned units go, with the kind of box that they end in.
DISPOSITIONS: dict[str, Literal["node", "loss"]] = {
    "restocked": "node",
    "mailed": "node",
    "consolidated": "node",
    "liquidated": "loss",
    "scrapped": "loss",
}
_CIVIDIS = "Cividis"  # light to dark also in grey, and under every colour blindness


def make_stock_figure(recordings: Mapping[str, Recording], selection: Selection) -> Figure:
    """Stock by node and SKU, a panel a policy, a day at a time (Fig. 4)."""
    covers = {name: compute_cover(r, selection) for name, r in recordings.items()}
    top = float(np.nanquantile(np.stack(list(covers.values())), 0.98)) or 1.0
    days = len(next(iter(covers.values())))
    return Figure(
        id="stock",
        title="Where the stock lies",
        reading="Each cell is the stock of a location and SKU at the end of the "
        f"{selection.period}, in {selection.period}s of its demand: a dark cell runs out, a bright "
        "one holds more than it needs.",
        plots=[
            _make_heatmap(name, cover, recordings[name].stock, selection, top)
            for name, cover in covers.items()
        ],
        controls=[Control("range", selection.period, [str(i) for i in range(days)], days - 1)],
    )


def compute_cover(recording: Recording, selection: Selection) -> FloatArray:
    """Returns stock / mean demand, days, (T, M, K'); NaN where nothing is demanded."""
    demand = np.where(selection.demand > 0, selection.demand, np.nan)
    cover: FloatArray = recording.stock / demand
    return cover


def _make_heatmap(
    name: str, cover: FloatArray, stock: FloatArray, selection: Selection, top: float
) -> Plot:
    rows, columns = selection.node_names, selection.sku_names
    hover = "%{y}, %{x}"
    # The longer axis runs down the page, where there is room for its names.
    if len(columns) > len(rows):
        rows, columns, hover = columns, rows, "%{x}, %{y}"
        cover, stock = cover.swapaxes(1, 2), stock.swapaxes(1, 2)
    frames = [
        {"z": to_list(z, 2), "customdata": to_list(units, 1)}
        for z, units in zip(cover, stock, strict=True)
    ]
    trace: Json = {
        "type": "heatmap",
        "x": [show_plainly(name) for name in columns],
        "y": [show_plainly(name) for name in rows],
        **frames[-1],
        "zmin": 0,
        "zmax": round(top, 2),
        "colorscale": _CIVIDIS,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "title": {"text": f"{selection.period}s"}},
        "hovertemplate": f"{hover}: %{{z:.1f}} {selection.period}s, "
        "%{customdata:.0f} units<extra></extra>",
    }
    layout = make_layout(
        110 + 24 * max(len(rows), 6),
        xaxis=_make_name_axis(columns),
        yaxis=_make_name_axis(rows) | {"autorange": "reversed"},
    )
    patches = {str(day): [frame] for day, frame in enumerate(frames)}
    return Plot(f"{make_label(name)}: {selection.period}s of cover", [trace], layout, patches)


def _make_name_axis(names: Sequence[str]) -> Json:
    """An axis of names that are cut where they would push the drawing off a phone."""
    return {
        "type": "category",
        "showgrid": False,
        "tickvals": [show_plainly(name) for name in names],
        "ticktext": [show_plainly(shorten_name(name)) for name in names],
    }


def shorten_name(name: str, most: int = 14) -> str:
    """Returns a name of at most `most` characters."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def make_proposal_figure(recording: Recording, selection: Selection) -> Figure | None:
    """Each agent's proposal beside the decision; None for policies without agents."""
    if not len(recording.proposals):
        return None
    days = list(range(len(recording.average)))
    styles = [
        {"mode": "lines", "line": {"width": 1.5, "color": get_colour(i), "dash": get_dash(i)}}
        for i in range(len(PROPOSING_MODULES))
    ]
    data: list[Json] = [
        {"type": "bar", "name": "ordered or shipped", "marker": {"color": "var(--bar)"}},
        *(
            {"type": "scatter", "name": make_label(module), **style}
            for module, style in zip(PROPOSING_MODULES, styles, strict=True)
        ),
        {
            "type": "scatter",
            "mode": "lines",
            "name": "average (eq. 6)",
            "line": {"width": 3, "color": "var(--text)"},
        },
    ]
    for trace in data:
        trace |= {"x": days, "hovertemplate": f"%{{y:.1f}} units<extra>{trace['name']}</extra>"}
    patches = {
        f"{m},{k}": _make_proposal_patch(recording, m, k)
        for m in range(len(selection.node_names))
        for k in range(len(selection.sku_names))
    }
    start = len(selection.dcs)
    data = [trace | patch for trace, patch in zip(data, patches[f"{start},0"], strict=True)]
    return Figure(
        id="proposals",
        title="Proposals and decisions",
        reading="Thin lines are what the agents proposed, the bold one their average; what is "
        "above zero is ordered from the supplier (DC) or shipped in (store), if there is stock.",
        plots=[
            Plot(
                "units: target - inventory position",
                data,
                make_layout(
                    440, xaxis={"title": {"text": selection.period}}, hovermode="x unified"
                ),
                patches,
            )
        ],
        controls=[
            Control("select", "location", list(selection.node_names), start),
            Control("select", "SKU", list(selection.sku_names)),
        ],
    )


def _make_proposal_patch(recording: Recording, node: int, sku: int) -> list[Json]:
    lines = [recording.moved, *recording.proposals, recording.average]
    values = [line[:, node, sku] for line in lines]
    return [{"y": to_list(line, 1), "visible": not bool(np.isnan(line).all())} for line in values]


class Box(NamedTuple):
    """A node of the flow diagram. Two boxes of different kind may bear one label."""

    kind: Literal["node", "end", "loss"]  # names its colour
    label: str


@dataclass
class FlowDiagram:
    """The links of a Sankey diagram; boxes stand in the order in which links name them."""

    links: list[tuple[Box, Box, float]] = field(default_factory=list)  # from, to, units a day

    def add(self, source: Box, target: Box, units: float) -> None:
        """Adds a link, unless nothing flows."""
        if units > 0:
            self.links.append((source, target, float(units)))

    def to_trace(self) -> Json:
        """Returns the part of a plotly trace that the flows make."""
        boxes = [box for source, target, _ in self.links for box in (source, target)]
        index = {box: i for i, box in enumerate(dict.fromkeys(boxes))}
        return {
            "node": {
                "label": [show_plainly(box.label) for box in index],
                "color": [f"var(--{box.kind})" for box in index],
                "pad": 14,
                "thickness": 14,
                "line": {"width": 0},
            },
            "link": {
                "source": [index[source] for source, _, _ in self.links],
                "target": [index[target] for _, target, _ in self.links],
                "value": [round(units, 2) for _, _, units in self.links],
                "color": "var(--flow)",
            },
        }


def make_flow_figure(recordings: Mapping[str, Recording], scenario: Scenario) -> Figure:
    """Units a day from suppliers to customers and back."""
    traces = [make_flow_diagram(r, scenario).to_trace() for r in recordings.values()]
    base: Json = {
        "type": "sankey",
        "arrangement": "snap",
        "valueformat": ",.1f",
        "valuesuffix": f" units a {scenario.period}",
        "textfont": {"shadow": "none"},
    }
    names = list(recordings)
    start = len(names) - 1
    return Figure(
        id="flows",
        title="Flows through the network",
        reading=f"The width of a band is units in an average {scenario.period}, from the supplier "
        "on the left to what customers keep, send back or do not get on the right.",
        plots=[
            Plot(
                f"units a {scenario.period}",
                [base | traces[start]],
                make_layout(560),
                {str(i): [trace] for i, trace in enumerate(traces)},
            )
        ],
        controls=[Control("select", "policy", [make_label(name) for name in names], start)],
        wide=True,
    )


def make_flow_diagram(recording: Recording, scenario: Scenario) -> FlowDiagram:
    """Suppliers -> DCs -> stores -> channels -> customers -> returns by disposition.

    A channel is as high as its demand; what it is not sold is lost, or waits. The ledger does not
    know through which channel a returned unit was bought, so returns leave from all customers.
    """
    units = {name: values.sum(axis=1) for name, values in recording.units.items()}  # by place
    network = Network.from_scenario(scenario)
    dcs = {Box("node", dc.name): network.parent == w for w, dc in enumerate(scenario.network.dcs)}
    stores = _group_stores(units["demand"].sum(axis=-1), scenario)
    customers, returned = Box("end", "customers"), Box("node", "returned")
    diagram = FlowDiagram()
    for w, (dc, below) in enumerate(dcs.items()):
        diagram.add(Box("node", "supplier"), dc, units["supplied"][w])
        for store, members in stores.items():
            diagram.add(dc, store, units["shipped"][below & members].sum())
    for c, channel in enumerate(scenario.channels):
        box = Box("end", channel)
        from_store, from_dc = (units[name] for name in _SALES[channel])
        for dc, below in dcs.items():
            diagram.add(dc, box, from_dc[below].sum())
        for store, members in stores.items():
            diagram.add(store, box, from_store[members].sum())
        diagram.add(box, customers, from_store.sum() + from_dc.sum())
        diagram.add(box, Box("loss", "lost sales"), units["lost"][:, c].sum())
    if "substituted_in" in units:
        box = Box("end", "substitutes")
        for store, members in stores.items():
            diagram.add(store, box, units["substituted_in"][members].sum())
        diagram.add(box, customers, units["substituted_in"].sum())
    for store, members in stores.items():
        diagram.add(store, Box("loss", "vanished"), units["shrunk"][members].sum())
        diagram.add(store, Box("loss", "expired"), units["wasted"][members].sum())
    if "undelivered" in units:
        dcs_lost, stores_lost = np.split(units["undelivered"], [len(dcs)])
        for w, dc in enumerate(dcs):
            diagram.add(dc, Box("loss", "never arrived"), dcs_lost[w])
        for store, members in stores.items():
            diagram.add(store, Box("loss", "never arrived"), stores_lost[members].sum())
    diagram.add(customers, returned, units["returned"].sum())
    for disposition, kind in DISPOSITIONS.items():
        diagram.add(returned, Box(kind, disposition), units[disposition].sum())
    return diagram


def _group_stores(demand: FloatArray, scenario: Scenario) -> dict[Box, NDArray[np.bool_]]:
    """Which stores, (S,), each box of the diagram stands for."""
    order = np.argsort(-demand, kind="stable")
    stores = scenario.network.stores
    own = order if len(order) <= MOST_STORES else order[: MOST_STORES - 1]
    index = np.arange(len(stores))
    groups = {Box("node", stores[s].name): index == s for s in np.sort(own)}
    if len(own) < len(order):
        groups[Box("node", f"{len(order) - len(own)} other stores")] = ~np.isin(index, own)
    return groups

"""A picture of stock for the trackers: a location a row, a SKU a column, both with their names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray
from marl.report.figures.network import shorten_name
from marl.report.recording import Selection

# Anchors of the colour map cividis, dark to bright: even to colour-blind eyes, and in grey.
_CIVIDIS = ((0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 175, 111), (254, 232, 56))
_CELL = 16  # pixels, the last of which is a gap
_SPACE = 4  # pixels between a name and its cells


class StockPicture:
    """Draws the largest nodes and SKUs of a scenario, by name."""

    tag = "eval/stock"

    def __init__(self, scenario: Scenario) -> None:
        self._shown, self._num_dcs = Selection.from_scenario(scenario), len(scenario.network.dcs)
        # Bright is the cover that an episode begins with, so that pictures can be compared.
        self._brightest = max(scenario.initial_store_cover, scenario.initial_dc_cover, 1.0)
        self.description = (
            "Stock after the validation episodes by location and SKU. "
            f"Dark: none. Bright: {self._brightest:g} days of demand or more."
        )

    def draw(self, stock: FloatArray) -> NDArray[np.uint8]:
        """Returns the picture of stock, units on hand, (N, K), as pixels, (H, W, 3)."""
        shown, num_dcs = self._shown, self._num_dcs
        cover = shown.select(stock[:num_dcs], stock[num_dcs:]) / np.maximum(shown.demand, 1e-9)
        return draw_table(cover / self._brightest, shown.node_names, shown.sku_names)


def draw_table(
    shares: FloatArray, rows: Sequence[str], columns: Sequence[str]
) -> NDArray[np.uint8]:
    """Returns a picture of values in [0, 1] with their names.

    Args:
        shares: the values, (rows, columns).
        rows: names, written to the left.
        columns: names, written above, from the bottom up.

    Returns:
        Pixels, (H, W, 3); the last cell is in the lower right corner.
    """
    left = [_write(name) for name in rows]
    above = [np.rot90(_write(name)) for name in columns]
    margin = max((text.shape[1] for text in left), default=0) + _SPACE
    head = max((text.shape[0] for text in above), default=0) + _SPACE
    cells = draw_cells(shares)
    page = np.full((head + len(cells), margin + cells.shape[1], 3), 255, np.uint8)
    page[head:, margin:] = cells
    for i, text in enumerate(left):
        top, end = head + i * _CELL, margin - _SPACE
        page[top : top + _CELL, end - text.shape[1] : end] = text
    for i, text in enumerate(above):
        start, end = margin + i * _CELL, head - _SPACE
        page[end - text.shape[0] : end, start : start + _CELL] = text
    return page


def draw_cells(shares: FloatArray) -> NDArray[np.uint8]:
    """Returns a picture of values in [0, 1], (rows, columns), as pixels, (H, W, 3)."""
    places = np.linspace(0, 1, len(_CIVIDIS))
    channels = [np.interp(shares, places, anchors) for anchors in zip(*_CIVIDIS, strict=True)]
    cells = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    pixels = cells.repeat(_CELL, axis=0).repeat(_CELL, axis=1)
    for gap in (pixels[_CELL - 1 :: _CELL], pixels[:, _CELL - 1 :: _CELL]):
        gap[...] = 255
    return pixels


def _write(name: str) -> NDArray[np.uint8]:
    """A name in black on white, as high as a cell, (16, width, 3)."""
    font = ImageFont.load_default()
    text = shorten_name(name)
    width = int(np.ceil(font.getlength(text)))
    image = Image.new("RGB", (max(width, 1), _CELL), "white")
    ImageDraw.Draw(image).text((0, 1), text, fill="black", font=font)
    return np.asarray(image)

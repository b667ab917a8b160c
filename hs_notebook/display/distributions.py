"""Distributions side by side: strips of dots with median and interval as SVG, and lines for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from hs_notebook.display.columns import screen_width
from hs_notebook.display.style import stylesheet
from hs_notebook.display.visible import escape, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WIDTH, _LABELS, _PANEL, _GAP = 860, 190, 300, 35
_ROW, _HEAD, _FOOT, _CAPTION = 24, 40, 30, 22
_DRAWN = 300  # dots of a strip: of more, every second, third …
_SPREAD = 7.0  # how far a dot may stand off the middle of its strip
_LEGEND = "A dot is a request, the upright line the median, the bar its 95 % interval."
_GOLDEN = 0.6180339887498949  # its multiples fill an interval evenly
_COLOURS = ("#1a6fc4", "#b8690a")  # where there is no stylesheet
_TEXT_LABELS, _TEXT_WIDTH = 34, 46


class Strip(NamedTuple):
    """Values under a label, their median, and its interval, which is not drawn where an end is None."""

    label: str
    group: int  # 0 or 1, drawn in two colours
    values: Sequence[float]
    median: float
    low: float | None
    high: float | None


class Panel(NamedTuple):
    """Strips over one axis, which begins at 0; `show` writes a value."""

    title: str
    strips: Sequence[Strip]
    show: Callable[[float], str]

    @property
    def most(self) -> float:
        """The end of the axis."""
        largest = max((value for strip in self.strips for value in strip.values), default=0.0)
        return largest or 1.0


def strips_svg(panels: Sequence[Panel], *, title: str, about: str, alone: bool = False) -> str:
    """Return panels side by side as SVG: static, and readable without its style.

    `alone` makes a file of it, which says its title. The strips of all panels have the same labels.
    """
    height = _HEAD + _ROW * len(panels[0].strips) + _FOOT
    whole = height + _CAPTION
    style = stylesheet("distributions.css")
    if alone:
        style = f":root{{color-scheme:light dark}}{style}.hs-strips{{color:CanvasText}}"
    caption = f"{title}. {_LEGEND}" if alone else _LEGEND
    xmlns = ' xmlns="http://www.w3.org/2000/svg"' * alone
    drawn = "".join(
        _panel(panel, _LABELS + index * (_PANEL + _GAP), height) for index, panel in enumerate(panels)
    )
    return (
        f'<svg{xmlns} class="hs-strips" role="img" aria-label="{_text(f"{title}. {about}")}" '
        f'viewBox="0 0 {_WIDTH} {whole}" width="{_WIDTH}" font-size="12" font-family="sans-serif" '
        f'fill="currentColor">\n<title>{_text(title)}</title>\n<desc>{_text(about)}</desc>\n'
        f"<style>{style}</style>\n{_labels(panels[0].strips)}{drawn}"
        f'<text x="0" y="{whole - 8}" font-size="11" fill-opacity=".7">{_text(caption)}</text>\n</svg>'
    )


def _labels(strips: Sequence[Strip]) -> str:
    return "".join(
        f'<text x="0" y="{_middle(index) + 4:g}">{_text(_short(strip.label, 32))}</text>\n'
        for index, strip in enumerate(strips)
    )


def _middle(index: int) -> float:
    return _HEAD + _ROW * (index + 0.5)


def _panel(panel: Panel, left: int, height: int) -> str:
    most = panel.most

    def at(value: float) -> float:
        return round(left + _PANEL * min(max(value / most, 0.0), 1.0), 1)

    foot = height - _FOOT
    lines = "".join(
        f'<path d="M{at(tick):g} {_HEAD}V{foot}" stroke="currentColor" stroke-opacity=".15"/>'
        f'<text x="{at(tick):g}" y="{foot + 16}" text-anchor="middle" font-size="11" fill-opacity=".7">'
        f"{_text(panel.show(tick))}</text>\n"
        for tick in ticks(most)
    )
    head = f'<text x="{left}" y="{_HEAD - 24}" font-weight="600">{_text(panel.title)}</text>\n'
    return head + lines + "".join(_strip(strip, i, at) for i, strip in enumerate(panel.strips))


def _strip(strip: Strip, index: int, at: Callable[[float], float]) -> str:
    if not strip.values:
        return ""
    middle, group = _middle(index), strip.group % 2
    step = -(-len(strip.values) // _DRAWN)
    dots = "".join(
        f"M{at(value):g} {middle + _SPREAD * (2 * ((number * _GOLDEN) % 1) - 1):.1f}h0"
        for number, value in enumerate(strip.values[::step])
    )
    bar = ""
    if strip.low is not None and strip.high is not None:
        bar = (
            f'<path d="M{at(strip.low):g} {middle:g}H{at(strip.high):g}" fill="none" stroke="currentColor" '
            'stroke-width="3"/>'
        )
    name, colour = ("hs-one", "hs-two")[group], _COLOURS[group]
    return (
        f'<path class="{name}" stroke="{colour}" d="{dots}" fill="none" stroke-width="4" '
        'stroke-linecap="round" stroke-opacity=".45"/>'
        f'{bar}<path d="M{at(strip.median):g} {middle - 9:g}v18" fill="none" stroke="currentColor" '
        'stroke-width="2"/>\n'
    )


def ticks(most: float) -> list[float]:
    """Return round numbers from 0 to `most`, three to six of them."""
    if not (0 < most < math.inf):
        return [0.0]
    step = 10.0 ** math.floor(math.log10(most))
    for divided in (step / 5, step / 2, step, 2 * step, 5 * step):
        if most / divided < 6 - 1e-9:
            step = divided
            break
    return [round(number * step, 12) for number in range(int(most / step + 1e-9) + 1)]


def strips_text(panels: Sequence[Panel]) -> str:
    """Return the same for a terminal: for each strip a line from its smallest value to its largest."""
    return "\n\n".join("\n".join(_text_panel(panel)) for panel in panels)


def _text_panel(panel: Panel) -> list[str]:
    most = panel.most
    lines = [panel.title]
    for strip in panel.strips:
        label = _short(visible(strip.label), _TEXT_LABELS)
        padded = label + " " * (_TEXT_LABELS - screen_width(label))
        value = panel.show(strip.median) if strip.values else "nothing"
        lines.append(f"{padded} {_text_strip(strip, most)} {value}")
    axis = f"0{panel.show(most):>{_TEXT_WIDTH - 1}}"
    return [*lines, " " * (_TEXT_LABELS + 1) + axis]


def _text_strip(strip: Strip, most: float) -> str:
    """Return all that was seen as dots, the half of it in the middle as a bar, and the median in it."""
    cells = [" "] * _TEXT_WIDTH
    ordered = sorted(strip.values)
    if not ordered:
        return "".join(cells)

    def at(value: float) -> int:
        return min(_TEXT_WIDTH - 1, max(0, int(value / most * _TEXT_WIDTH)))

    quarter = len(ordered) // 4
    for low, high, mark in (
        (ordered[0], ordered[-1], "·"),
        (ordered[quarter], ordered[-1 - quarter], "━"),
        (strip.median, strip.median, "┃"),
    ):
        for cell in range(at(low), at(high) + 1):
            cells[cell] = mark
    return "".join(cells)


def _short(text: str, most: int) -> str:
    """Return a text without its middle, as names begin alike and sizes stand at their ends."""
    end = most // 2
    return text if len(text) <= most else f"{text[: most - end - 1]}…{text[-end:]}"


def _text(text: str) -> str:
    return escape(visible(text))

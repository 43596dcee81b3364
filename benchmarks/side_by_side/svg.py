"""SVG drawn as text: the few shapes that plots need. Same input, same bytes."""

from collections.abc import Iterator
from html import escape
from typing import Final

COLOURS: Final = {
    "direct": "#6b7280",
    "kubectl proxy": "#2563eb",
    "haproxy": "#0d9488",
    "haproxy h2": "#5eead4",
    "kubetape strict": "#7f1d1d",
    "kubetape strict h2": "#b45309",
    "kubetape balanced": "#dc2626",
    "kubetape balanced h2": "#f59e0b",
    "kubetape relaxed": "#f472b6",
    "kubetape relaxed h2": "#fbcfe8",
    "kubetape 2 workers": "#581c87",
    "worker": "#dc2626",
    "proxy": "#2563eb",
    "gateway": "#dc2626",
    "keeper": "#fca5a5",
}
"""By lane or process; the same in every picture."""
OTHER: Final = "#9ca3af"


class Picture:
    """A growing SVG on white, so that it can be read on any page."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height = width, height
        self._shapes = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif" font-size="12" fill="#111827">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]
        self.text(16, 24, title, size=15)

    def text(self, x: float, y: float, words: str, *, size: int = 12, anchor: str = "start") -> None:
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>'
        )

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 1.0) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )

    def legend(self, x: float, y: float, names: list[str]) -> None:
        """One line a name, downwards."""
        for number, name in enumerate(names):
            self.box(x, y + number * 18 - 10, 12, 12, colour_of(name))
            self.text(x + 18, y + number * 18, name)

    def encode(self) -> bytes:
        return ("\n".join([*self._shapes, "</svg>"]) + "\n").encode()


def colour_of(name: str) -> str:
    return COLOURS.get(name, OTHER)


def ticks(highest: float, most: int = 6) -> Iterator[float]:
    """Round values from 0 up to a highest one."""
    step = 10.0**-6
    while highest / step > most:
        step *= 2.5 if f"{step:e}".startswith("2") else 2
    value = 0.0
    while value <= highest * 1.0001:
        yield round(value, 9)
        value += step

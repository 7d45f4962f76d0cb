"""Draw the graph of rules as Snakemake states it: `python docs/images/make_rulegraph.py` writes `rulegraph.svg`."""

import re
import subprocess
import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 132, 30, 26, 44, 12


def read_graph() -> tuple[list[str], set[tuple[str, str]]]:
    """Return the rules, and (from, to) of each dependence that no other one implies; `all` is left out."""
    sheet = "paths={recordings: config/examples/recordings.tsv}"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--rulegraph",
        "dot",
        "--forceall",
        "--quiet",
        "all",
        "--config",
        sheet,
    ]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', text))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", text)}
    edges = {(a, b) for a, b in edges if b != "all"}
    rules = sorted({rule for edge in edges for rule in edge})
    return rules, {(a, b) for a, b in edges if not any(_reaches(c, b, edges) for x, c in edges if x == a and c != b)}


def _reaches(start: str, end: str, edges: set[tuple[str, str]]) -> bool:
    return start == end or any(_reaches(b, end, edges) for a, b in edges if a == start)


def place(rules: list[str], edges: set[tuple[str, str]]) -> dict[str, tuple[float, int]]:
    """Return column and row of each rule: one row below the last that it needs."""

    def row(rule: str) -> int:
        return max((1 + row(a) for a, b in edges if b == rule), default=0)

    rows: dict[int, list[str]] = {}
    for rule in rules:
        rows.setdefault(row(rule), []).append(rule)
    widest = max(map(len, rows.values()))
    places: dict[str, tuple[float, int]] = {}
    for level, here in sorted(rows.items()):
        for k, rule in enumerate(here):
            above = [places[a][0] for a, b in edges if b == rule]
            alone = len(here) == 1 and above
            places[rule] = (sum(above) / len(above) if alone else (widest - len(here)) / 2 + k, level)
    return places


def draw(places: dict[str, tuple[float, int]], edges: set[tuple[str, str]]) -> str:
    """Return the graph as SVG."""
    corner = {r: (MARGIN + x * (WIDTH + GAP_X), MARGIN + y * (HEIGHT + GAP_Y)) for r, (x, y) in places.items()}
    width = max(x for x, _ in corner.values()) + WIDTH + MARGIN
    height = max(y for _, y in corner.values()) + HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for a, b in sorted(edges):
        (x0, y0), (x1, y1) = corner[a], corner[b]
        x0, y0, x1, bend = x0 + WIDTH / 2, y0 + HEIGHT, x1 + WIDTH / 2, GAP_Y / 2
        path = f"M{x0:g} {y0:g}C{x0:g} {y0 + bend:g} {x1:g} {y1 - bend:g} {x1:g} {y1:g}"
        parts.append(f'<path d="{path}" fill="none" stroke="#889" stroke-width="1.5"/>')
    for rule, (x, y) in sorted(corner.items()):
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#e8eef8" stroke="#357"/>'
        )
        parts.append(f'<text x="{x + WIDTH / 2:g}" y="{y + 19:g}" text-anchor="middle">{escape(rule)}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    rules, edges = read_graph()
    (HERE / "rulegraph.svg").write_text(draw(place(rules, edges), edges), encoding="utf-8")

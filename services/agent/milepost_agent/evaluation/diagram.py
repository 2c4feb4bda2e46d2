"""The reliability diagram: confidence against accuracy in ten bins, as one SVG file that is readable light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from milepost_agent.evaluation.metrics import Bin
from milepost_agent.evaluation.report import Report

WIDTH, HEIGHT = 560, 482
LEFT, TOP = 64, 72
SIDE = 460  # of the plot, across
PLOT, STRIP = 250, 56  # heights of the plot and of the counts below it
STRIP_TOP = TOP + PLOT + 38
GAP = 4  # between bars

STYLE = """\
svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
.card { fill: #ffffff; } .ink { fill: #1f2328; } .quiet { fill: #59636e; }
.grid { stroke: #d1d9e0; } .even { stroke: #59636e; stroke-dasharray: 5 4; }
.right { fill: #4c8dd6; } .sure { stroke: #1f2328; stroke-width: 3; } .count { fill: #afb8c1; }
@media (prefers-color-scheme: dark) {
  .card { fill: #0d1117; } .ink { fill: #e6edf3; } .quiet { fill: #9198a1; }
  .grid { stroke: #30363d; } .even { stroke: #9198a1; }
  .right { fill: #3f7fc4; } .sure { stroke: #e6edf3; } .count { fill: #57606a; }
}"""


def reliability_diagram(report: Report) -> str:
    """SVG; each bin that is not empty is a group with its numbers in `data-` attributes."""
    quality = report.quality
    what = f"{report.queries} queries, top-1 {quality.top1:.3f}, ECE {quality.ece:.3f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="title description">',
        '<title id="title">Reliability of the router</title>',
        f'<desc id="description">{escape(_described(report, what))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        _text(LEFT, 30, "How often the router is right, by how sure it is", "ink", "font-size: 16px; font-weight: 600"),
        _text(LEFT, 50, f"{what}, answered by {report.path}", "quiet"),
        *_axes(),
        *_bars(report.bins),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _described(report: Report, what: str) -> str:
    bins = "; ".join(
        f"confidence {each.low:.1f} to {each.high:.1f}: {each.count} queries, {each.accuracy:.2f} right"
        for each in report.bins
        if each.accuracy is not None
    )
    return f"{what}. {bins}."


def _axes() -> Iterator[str]:
    for tenth in range(0, 11, 2):
        x, y = LEFT + SIDE * tenth / 10, TOP + PLOT * (1 - tenth / 10)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:g}" x2="{LEFT + SIDE}" y2="{y:g}"/>'
        yield _text(LEFT - 8, y + 4, f"{tenth / 10:.1f}", "quiet", "text-anchor: end")
        yield _text(x, TOP + PLOT + 18, f"{tenth / 10:.1f}", "quiet", "text-anchor: middle")
    turned = f"translate(20 {TOP + PLOT / 2:g}) rotate(-90)"
    yield f'<text class="quiet" transform="{turned}" text-anchor="middle">accuracy</text>'
    yield _text(LEFT + SIDE, STRIP_TOP + STRIP + 20, "confidence of the first answer", "quiet", "text-anchor: end")


def _bars(bins: tuple[Bin, ...]) -> Iterator[str]:
    most = max(each.count for each in bins)
    for each in bins:
        if each.confidence is None or each.accuracy is None:
            continue
        x, width = LEFT + SIDE * each.low + GAP / 2, SIDE * (each.high - each.low) - GAP
        height, high = PLOT * each.accuracy, STRIP * each.count / most
        sure = TOP + PLOT * (1 - each.confidence)
        yield (
            f'<g data-low="{each.low:.1f}" data-count="{each.count}" data-confidence="{each.confidence:.4f}" '
            f'data-accuracy="{each.accuracy:.4f}">'
        )
        yield _bar("right", x, TOP + PLOT, width, height)
        yield f'<line class="sure" x1="{x:g}" y1="{sure:.1f}" x2="{x + width:g}" y2="{sure:.1f}"/>'
        yield _bar("count", x, STRIP_TOP + STRIP, width, high)
        yield _text(x + width / 2, STRIP_TOP + STRIP - high - 4, str(each.count), "ink", "text-anchor: middle")
        yield "</g>"
    yield f'<line class="even" x1="{LEFT}" y1="{TOP + PLOT}" x2="{LEFT + SIDE}" y2="{TOP}"/>'


def _legend() -> Iterator[str]:
    y = HEIGHT - 18
    yield _bar("right", LEFT, y, 14, 10)
    yield _text(LEFT + 20, y, "share that is right", "ink")
    yield f'<line class="sure" x1="{LEFT + 160}" y1="{y - 4}" x2="{LEFT + 178}" y2="{y - 4}"/>'
    yield _text(LEFT + 184, y, "mean confidence", "ink")
    yield _bar("count", LEFT + 316, y, 14, 10)
    yield _text(LEFT + 336, y, "number of queries", "ink")


def _bar(kind: str, x: float, bottom: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{bottom - height:.1f}" width="{width:g}" height="{height:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, style: str = "") -> str:
    styled = f' style="{style}"' if style else ""
    return f'<text class="{kind}" x="{x:g}" y="{y:.1f}"{styled}>{escape(text)}</text>'

"""What our pages have in common: one self-contained file, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

REPORT_STYLE = """
body { font: 14px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1b2430; background: #fff;
  max-width: 1080px; margin: 32px auto; padding: 0 24px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 36px 0 8px; border-bottom: 1px solid #d5dbe3;
  padding-bottom: 4px; } p { margin: 6px 0; } .soft { color: #5b6675; }
.figures { display: flex; gap: 40px; margin: 20px 0 8px; } .figures b { display: block; font-size: 30px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; border-bottom: 2px solid #1b2430; padding: 4px 10px; vertical-align: bottom; }
td { text-align: right; border-bottom: 1px solid #e4e8ee; padding: 4px 10px; } .left { text-align: left; }
.ci { color: #5b6675; font-size: 12px; white-space: nowrap; } .none { color: #98a2ae; }
.pictures { display: flex; flex-wrap: wrap; gap: 16px 24px; align-items: flex-start; }
.pictures img { max-width: 100%; }
code { font-size: 12px; word-break: break-all; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } img, tr { break-inside: avoid; } }
"""

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;font-size:13px}th,td{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}
.label{background:#fff3d6;padding:.5rem .8rem;border-left:4px solid #d9a400}
svg text{font:12px system-ui,sans-serif;fill:#444}summary{cursor:pointer;font-weight:600;margin:.6rem 0}
.over{color:#b00020;font-weight:600}
"""
Cell = str | tuple[str, str]  # HTML, or a class and HTML


def page(title: str, parts: Iterable[str], style: str = "") -> str:
    """title: text. parts: HTML."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}{style}</style>'
    return f'<!doctype html><html lang="en">{head}<h1>{escape(title)}</h1>' + "\n".join(parts) + "</html>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><tr>{heads}</tr>{body}</table>"


def _cell(cell: Cell) -> str:
    return f"<td>{cell}</td>" if isinstance(cell, str) else f'<td class="{cell[0]}">{cell[1]}</td>'


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """left: so many first columns hold words."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marks = (" class=left" if column < left else "" for column in range(len(cells)))
        return "<tr>" + "".join(f"<{tag}{m}>{c}</{tag}>" for m, c in zip(marks, cells, strict=True)) + "</tr>"

    head = line("th", heads) if any(heads) else ""
    return "<table>" + head + "\n".join(line("td", row) for row in rows) + "</table>"


def with_interval(value: float, between: Sequence[float]) -> str:
    return f"{percent(value)} <span class=ci>{interval_text(between)}</span>"


def interval_text(between: Sequence[float]) -> str:
    return f"[{percent(between[0])}, {percent(between[1])}]"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"

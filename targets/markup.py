"""What our pages have in common: one self-contained file, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

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

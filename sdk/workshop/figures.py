"""Pictures of pages: matplotlib, as SVG inside the page."""

from __future__ import annotations

import base64
import io

from matplotlib.figure import Figure

INK, SOFT, BLUE, AMBER = "#1b2430", "#6b7685", "#2b6cb0", "#d9822b"


def data_uri(figure: Figure) -> str:
    """The figure inside the page itself: no second file, no network. Without a date, so that equal runs are equal."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

"""Pages and their pictures: whole, escaped, the same each time."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("jinja2")

from jinja2 import UndefinedError

from workshop.figures import COLOURS, Line, data_uri, interval_figure
from workshop.pages import Cell, points, render, with_interval

NASTY = "<script>alert(1)</script>&\"'"
TEMPLATE = """{% extends "base.html" %}
{% from "parts.html" import table, verdict, pictures %}
{% block body %}
{{ verdict("fail", name, [name], said=name, aside=name) }}
{{ table([name], [[name, cell]]) }}
{{ pictures([source], "two lines") }}
{% endblock %}
"""


def page(folder: Path, **values: object) -> str:
    (folder / "some.html").write_text(TEMPLATE)
    given = {"title": NASTY, "name": NASTY, "cell": Cell(NASTY, NASTY, NASTY, "code"), "source": "data:,"} | values
    return render(folder / "some.html", **given)


def test_a_name_cannot_bring_markup_into_a_page_wherever_it_lands(tmp_path: Path) -> None:
    made = page(tmp_path)
    assert "<script" not in made and made.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;") == 11
    assert made.count("<code>") == 1


def test_a_page_is_one_file_with_the_stylesheet_inside_that_fetches_nothing(tmp_path: Path) -> None:
    made = page(tmp_path, source=data_uri(two_lines()))
    assert "border-collapse" in made and "{%" not in made
    assert not re.search(r"https?:|//[a-z]|<script|<link|@import|url\(", re.sub(r"base64,[^\"]+", "", made))


def test_a_value_that_nobody_gave_is_an_error_and_no_gap_in_a_page(tmp_path: Path) -> None:
    (tmp_path / "some.html").write_text("{{ forgotten }}")
    with pytest.raises(UndefinedError, match="forgotten"):
        render(tmp_path / "some.html")


def test_a_table_says_what_its_cells_are(tmp_path: Path) -> None:
    made = page(tmp_path, name="n", cell=with_interval(0.5, (0.4, 0.61), mark="open"))
    assert '<td class="left">n</td>\n<td class="open">50.0 <small>[40.0, 61.0]</small></td>' in made


def test_a_difference_is_told_in_points() -> None:
    assert points(-0.012, (-0.03, 0.006)) == "-1.2 (-3.0 to +0.6)"


def two_lines() -> object:
    lines = [
        Line(name="one", found=[(0.5, (0.4, 0.6)), None], colour=COLOURS[0]),
        Line(name="two", found=[(1.0, (1.0, 1.0)), (0.9, (0.8, 0.95))], colour=COLOURS[1]),
    ]
    return interval_figure(["first", "second"], lines, reference=0, unit="accuracy, %")


def test_equal_figures_are_equal_to_the_byte_and_draw_each_line_where_it_has_a_value() -> None:
    first, second = data_uri(two_lines()), data_uri(two_lines())
    assert first == second
    drawn = base64.b64decode(first.partition("base64,")[2]).decode()
    ET.fromstring(drawn)
    assert drawn.count(f"stroke: {COLOURS[0]}") == 2  # a whisker, and the edge of its dot
    assert drawn.count(f"stroke: {COLOURS[1]}") == 4


def test_no_axis_of_shares_goes_far_beyond_all_of_them() -> None:
    figure = two_lines()
    assert figure.axes[0].get_xlim()[1] <= 102.0  # type: ignore[attr-defined]

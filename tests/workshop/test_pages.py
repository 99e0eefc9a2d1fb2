"""Pages and their pictures: whole, escaped, the same each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("jinja2")

from jinja2 import UndefinedError
from matplotlib.figure import Figure

from workshop.figures import COLOURS, Line, data_uri, interval_figure, svg
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
    assert '<td class="left">n</td><td class="open">50.0 <small>[40.0, 61.0]</small></td>' in made.replace("\n", "")


def test_a_difference_is_told_in_points() -> None:
    assert points(-0.012, (-0.03, 0.006)) == "-1.2 (-3.0 to +0.6)"


def two_lines() -> Figure:
    lines = [
        Line(name="one", found=[(0.5, (0.4, 0.6)), None], colour=COLOURS[0]),
        Line(name="two", found=[(1.0, (1.0, 1.0)), (0.9, (0.8, 0.95))], colour=COLOURS[1]),
    ]
    return interval_figure(["first", "second"], lines, reference=0, unit="accuracy, %")


def test_equal_figures_are_equal_to_the_byte() -> None:
    assert data_uri(two_lines()) == data_uri(two_lines())
    assert ET.fromstring(svg(two_lines())).tag.endswith("svg")


def test_a_line_is_drawn_where_it_has_a_value_and_the_reference_beside_all() -> None:
    first, second = two_lines().axes
    drawn = [[float(x) for x in line.get_xdata()] for line in first.lines]
    assert drawn[:4] == [[40, 60], [50], [100, 100], [100]] and set(drawn[4]) == {50}
    assert [[float(x) for x in line.get_xdata()] for line in second.lines] == [[80, 95], [90]]


def test_no_axis_of_shares_goes_far_beyond_all_of_them() -> None:
    assert 100 < two_lines().axes[0].get_xlim()[1] <= 102

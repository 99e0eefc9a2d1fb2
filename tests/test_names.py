"""One name, one meaning: who has read of a class knows it wherever its name stands."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.test_budgets import all_files, named

# The same role in each file of a room that is made of files of one form: every kind of dense answer has its Metric.
ROLES = {"Metric": "training/dense/kinds"}


def test_no_public_class_has_the_name_of_another() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in all_files():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                room = ROLES.get(node.name, "no room")
                homes[node.name].add(room if named(path.parent) == room else named(path))
    twice = {name: sorted(where) for name, where in homes.items() if len(where) > 1}
    assert len(homes) > 300 and not twice, f"{twice}: two meanings of one name; give each its own name of the field"

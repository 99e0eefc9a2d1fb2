"""What no command of the device and no public name leads to is the workshop's: it lies in sdk/workshop.

Vulture finds what nobody reads. This finds what the workshop alone reads. It follows names of functions and classes
from file to file, and takes a class as a whole.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from tests.room_table import PACKAGE

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text()
    )
    for path in PACKAGE.rglob("*.py")
}
DEFINING = (ast.FunctionDef, ast.ClassDef)
COMMANDS = ("add", "run", "main")  # of codriver.cli, which is imported by name
ELSEWHERE = {("codriver.doctor.probe", "tell")}  # called in a process of its own


class Thing(NamedTuple):
    """A function or a class at the top of a module."""

    module: str
    name: str


THINGS = {
    Thing(module, node.name): node
    for module, tree in MODULES.items()
    for node in tree.body
    if isinstance(node, DEFINING)
}
IMPORTED = {  # module -> what its names stand for
    module: {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for module, tree in MODULES.items()
}


def meant(module: str, name: str) -> Thing | None:
    """What a name of a module is, if it is a thing of the package; followed through modules that hand it on."""
    while Thing(module, name) not in THINGS:
        if (found := IMPORTED.get(module, {}).get(name)) is None:
            return None
        module, name = found
    return Thing(module, name)


def read_by(module: str, node: ast.AST) -> Iterator[Thing]:
    for some in ast.walk(node):
        thing = None
        if isinstance(some, ast.Name):
            thing = meant(module, some.id)
        elif isinstance(some, ast.Attribute) and isinstance(some.value, ast.Name):  # draw.card
            thing = meant(".".join(IMPORTED[module].get(some.value.id, ("", ""))), some.attr)
        if thing is not None:
            yield thing


def test_all_of_the_device_package_is_reached_from_its_commands_or_its_public_names() -> None:
    todo = {Thing(*where) for where in ELSEWHERE} | {thing for thing in THINGS if thing.module == "codriver"}
    todo |= {thing for thing in THINGS if thing.module.startswith("codriver.cli.") and thing.name in COMMANDS}
    for module, tree in MODULES.items():  # what runs on import; the public names are among the imports of codriver
        for node in (some for some in tree.body if not isinstance(some, DEFINING)):
            todo |= set(read_by(module, node))
    todo |= {thing for name in IMPORTED["codriver"] if (thing := meant("codriver", name))}
    reached: set[Thing] = set()
    while todo:
        reached.add(thing := todo.pop())
        todo |= set(read_by(thing.module, THINGS[thing])) - reached
    alone = sorted(".".join(thing) for thing in set(THINGS) - reached)
    assert alone == [], f"{alone}: the workshop alone reads this; move it to sdk/workshop, or delete it"

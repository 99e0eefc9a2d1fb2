"""Run in a process of its own by test_trt_contract.py: do NVIDIA's bindings have the names that are asked for?

python nvidia_check.py FOLDER MODULE LIBRARY... < uses.json > faults.json

FOLDER holds unpacked wheels, LIBRARY are stub libraries to load first. Per use: what is wrong with it, "" if nothing.
It imports nothing of ours, so that it sees nothing but the bindings.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import re
import sys
from typing import Any


def fault(module: Any, use: dict[str, Any]) -> str:
    owner = getattr(module, use["owner"], None) if use["owner"] else module
    if owner is None:
        return f"there is no {use['owner']}"
    if not hasattr(owner, use["name"]) and use["name"] not in getattr(owner, "__members__", ()):
        return f"{use['owner'] or 'the module'} has no {use['name']}"
    if use["owner"] == "cudaDeviceProp" or use["how"] == "get":
        return ""
    target = getattr(owner, use["name"])
    if use["how"] == "set":
        return "" if getattr(target, "fset", None) else f"{use['name']} cannot be set"
    wanted = (use["positional"], tuple(use["keywords"]))
    if use["how"] == "override":
        wanted = (len(use["keywords"]), ())
    if isinstance(target, type):
        target = target.__init__
    found = signatures(use["name"], target)
    if use["how"] == "override":
        names = [[name for name, _ in one] for one in found]
        return "" if list(use["keywords"]) in names else f"its parameters are {names}"
    return "" if any(fits(one, *wanted) for one in found) else f"it takes {[shown(one) for one in found]}"


def signatures(name: str, target: Any) -> list[list[tuple[str, bool]]]:
    """(parameter, has a default), for each overload, from the first lines of pybind11's and Cython's docstrings."""
    text = target.__doc__ or ""
    pattern = re.compile(rf"^\s*(?:\d+\. )?(?:__init__|{re.escape(name)})\((.*)\)(?: -> .*)?$", re.MULTILINE)
    return [parameters(found) for found in pattern.findall(text) if found != "*args, **kwargs"]


def parameters(text: str) -> list[tuple[str, bool]]:
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    found = []
    for part in filter(None, map(str.strip, parts)):
        before_type = part.partition(":")[0].partition("=")[0].split()  # "size_t count", "name: str = 'x'"
        if before_type and before_type[-1] not in ("self", "/", "*"):
            found.append((before_type[-1], "=" in part))
    return found


def fits(one: list[tuple[str, bool]], positional: int, keywords: tuple[str, ...]) -> bool:
    rest = one[positional:]
    names = [name for name, _ in rest]
    filled = all(name in keywords or has_default for name, has_default in rest)
    return positional <= len(one) and set(keywords) <= set(names) and filled


def shown(one: list[tuple[str, bool]]) -> str:
    return ", ".join(name + ("=" if has_default else "") for name, has_default in one)


def main() -> None:
    folder, name, *libraries = sys.argv[1:]
    for library in libraries:
        ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    sys.path.insert(0, folder)
    module = importlib.import_module(name)
    json.dump([fault(module, use) for use in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()

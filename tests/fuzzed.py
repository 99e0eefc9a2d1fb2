"""What fuzz tests share: bounds on what an example may take, and good files that were changed."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

MAX_GROWTH = 512 << 20  # bytes that one example may take


def bounded(test: Callable[..., None]) -> Callable[..., None]:
    """An example that takes more memory fails with a MemoryError, which is no error of ours.

    Counted from where the example begins: Hypothesis itself remembers every example, 12 kB each.
    """
    if sys.platform != "linux":
        return test
    import resource

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        before = resource.getrlimit(resource.RLIMIT_AS)
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MAX_GROWTH, before[1]))
        try:
            test(*args, **kwargs)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    return run


def mutations(data: bytes) -> st.SearchStrategy[bytes]:
    """Cut, overwritten and shifted copies of a good file."""
    place = st.integers(0, len(data) - 1)
    pieces = st.binary(max_size=12)

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        changed = bytearray(data)
        for start, length, piece in changes:
            changed[start : start + length] = piece
        return bytes(changed)

    return st.lists(st.tuples(place, st.sampled_from((0, 1, 2, 8, 1 << 20)), pieces), min_size=1, max_size=4).map(apply)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda v: st.lists(v, max_size=5) | st.dictionaries(st.text(max_size=10), v, max_size=5),
    max_leaves=20,
)


def changed_json(good: bytes, data: st.DataObject) -> bytes:
    """Changed bytes, a changed value somewhere in it, or anything at all."""
    kind = data.draw(st.sampled_from(("bytes", "values", "any")))
    if kind == "bytes":
        return bytes(data.draw(mutations(good)))
    if kind == "any":
        return bytes(data.draw(st.one_of(st.binary(max_size=200), json_values.map(lambda v: json.dumps(v).encode()))))
    content = json.loads(good)
    place: Any = content
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(json_values)
    return (json.dumps(content, indent=1) + "\n").encode()

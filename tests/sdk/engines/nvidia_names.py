"""Which of NVIDIA's names our source uses, and how: read from the source, so that none is forgotten.

python -m tests.sdk.engines.nvidia_names        prints the list
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests import ROOT

ENGINES = ROOT / "sdk" / "codriver" / "engines" / "trt"

# The house rule that makes this possible: in these files, a name stands for an object of one class of NVIDIA's.
# `_engine` and `self._engine` count as `engine`. "" is the module itself.
TENSORRT = {
    "trt": "",
    "log": "ILogger",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "fault": "ParserError",
    "config": "IBuilderConfig",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "dtype": "DataType",
}
FILES = {
    "build.py": TENSORRT | {"tensor": "ITensor"},
    "engine.py": TENSORRT,
    "cuda.py": {"cudart": "", "properties": "cudaDeviceProp", "error": "cudaError_t"},
}
OURS = {("ILogger", "told"), ("ILogger", "errors"), ("", "__version__")}


@dataclass(frozen=True)
class Use:
    """One use of a name: `owner.name` read, written, called, or overridden with these arguments."""

    owner: str  # class; "" is the module
    name: str
    how: str  # get, set, call, override
    positional: int = 0
    keywords: tuple[str, ...] = ()  # of a call; of an override the names of its parameters
    since: tuple[int, int] = (0, 0)  # of the guard around it
    where: str = ""

    def __str__(self) -> str:
        arguments = ", ".join(["_"] * self.positional + list(self.keywords))
        shape = {"call": f"({arguments})", "override": f"({arguments}) overridden", "set": " = _", "get": ""}[self.how]
        guard = f"  from {self.since[0]}.{self.since[1]}" if self.since > (0, 0) else ""
        return f"{self.owner + '.' if self.owner else ''}{self.name}{shape}{guard}"


def uses(*files: str) -> list[Use]:
    """Every use in these files, in the order of the source."""
    return [use for file in files for use in _Reader(file).read()]


class _Reader(ast.NodeVisitor):
    def __init__(self, file: str) -> None:
        self._file, self._owners = file, FILES[file]
        self._found: list[Use] = []
        self._since = (0, 0)
        self._called: dict[ast.expr, ast.Call] = {}

    def read(self) -> list[Use]:
        self.visit(ast.parse((ENGINES / self._file).read_text(encoding="utf-8")))
        return self._found

    def visit_If(self, node: ast.If) -> None:
        """`if release(trt) >= (10, 16):` guards what is below it."""
        test = node.test
        if isinstance(test, ast.Compare) and ast.unparse(test.left) == "release(trt)":
            assert isinstance(test.ops[0], ast.GtE) and not node.orelse, (
                "a guard is `release(trt) >= ...`, without else"
            )
            before, self._since = self._since, ast.literal_eval(test.comparators[0])
            for child in node.body:
                self.visit(child)
            self._since = before
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._called[node.func] = node
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = self._owner(node.value)
        if owner is not None and owner != "__version__" and (owner, node.attr) not in OURS:
            call = self._called.get(node)
            how = "call" if call else "set" if isinstance(node.ctx, ast.Store) else "get"
            if call and node.attr == "__init__":  # Base.__init__(self)
                call = ast.Call(call.func, call.args[1:], call.keywords)
            positional = len(call.args) if call else 0
            keywords = tuple(str(k.arg) for k in call.keywords) if call else ()
            self._add(Use(owner, node.attr, how, positional, keywords), node)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            if isinstance(base, ast.Attribute) and self._owner(base.value) == "":
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and (base.attr, method.name) not in OURS:
                        names = tuple(a.arg for a in method.args.args[1:])
                        if method.name != "__init__":
                            self._add(Use(base.attr, method.name, "override", 0, names), method)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """CUDA's errors are compared by their names."""
        if isinstance(node.value, str) and node.value.startswith("cudaError"):
            self._add(Use("cudaError_t", node.value, "get"), node)

    def _owner(self, node: ast.expr) -> str | None:
        """Class of the object that an expression is, as far as the house rule tells; None: not NVIDIA's."""
        if isinstance(node, ast.Name):
            return self._owners.get(node.id.removeprefix("_"))
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                return self._owners.get(node.attr.removeprefix("_"))
            if self._owner(node.value) == "":
                return node.attr  # trt.BuilderFlag, whose members follow
            if node.attr == "dtype" and self._owner(node.value) is not None:
                return "DataType"
        return None

    def _add(self, use: Use, node: ast.AST) -> None:
        where = f"{self._file}:{getattr(node, 'lineno', 0)}"
        self._found.append(Use(use.owner, use.name, use.how, use.positional, use.keywords, self._since, where))


def lines() -> Iterator[str]:
    for title, files in (("tensorrt", ("build.py", "engine.py")), ("cuda.bindings.runtime", ("cuda.py",))):
        yield title
        yield from sorted({f"  {use}" for use in uses(*files)})


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")

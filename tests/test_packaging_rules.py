"""The house rules that no linter knows: short, no pickle, no references that nobody can follow."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "napari_sslseg").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
OUTSIDE = re.compile(r"methods\.md [A-Z]?\d")
"""A section of a document that is not in the repository."""

LONGEST_FILE = 400
LONGEST_FUNCTION = 40


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the name of every function and the lines of its body without the docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_functions_are_measured_without_their_docstring() -> None:
    source = 'def f():\n    """Say\n\n    much.\n    """\n    a = 1\n    return a\n'
    assert list(functions(ast.parse(source))) == [("f", 2)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    long = [name for name, lines in functions(ast.parse(text)) if lines > LONGEST_FUNCTION]
    assert long == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_can_unpickle(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported.isdisjoint({"pickle", "cloudpickle", "dill", "shelve", "marshal"})
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [call for call in calls if call.startswith(("torch.load(", "torch.save("))] == []
    assert [call for call in calls if "allow_pickle=True" in call] == []


def test_no_reference_leads_out_of_the_repository() -> None:
    assert OUTSIDE.search("methods" + ".md A5")
    assert [
        path.relative_to(ROOT).as_posix()
        for path in (*SOURCES, *TESTS)
        if OUTSIDE.search(path.read_text(encoding="utf-8"))
    ] == []

"""The order of the rooms: who may import whom, and what every room says of itself."""

import ast
import re
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import course_lib
from course_lib import ROOMS
from tests.house import lines

LIBRARY = Path(course_lib.__file__).parent


def name_of(path):
    parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in LIBRARY.rglob("*.py")}


def imports(tree, modules):
    """The library's modules that the code of one imports, wherever in it the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("course_lib"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("course_lib"))


def floor(module):
    """0 for the ground floor, then the rooms in their order."""
    room = module.split(".")[1] if "." in module else ""
    return 1 + ROOMS.index(room) if room in ROOMS else 0


def against_the_flow(graph):
    return [(a, b) for a, found in graph.items() for b in found if floor(b) > floor(a)]


GRAPH = {
    module: set(imports(ast.parse(path.read_text(encoding="utf-8")), MODULES)) - {module}
    for module, path in MODULES.items()
    if module != "course_lib.__main__"  # the command line opens every room, each when it is asked
}


def test_every_folder_is_a_room_and_every_room_a_folder():
    folders = {p.name for p in LIBRARY.iterdir() if p.is_dir() and p.name[0] not in "_."}
    assert folders - {"assets"} == set(ROOMS)
    entries = [p for p in LIBRARY.iterdir() if p.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= 20


def test_imports_go_one_way():
    assert not against_the_flow(GRAPH)


def test_an_import_against_the_flow_would_be_seen():
    graph = {"course_lib.task.puzzles": {"course_lib.rl.grpo"}, "course_lib.rl.grpo": set()}
    assert against_the_flow(graph) == [("course_lib.task.puzzles", "course_lib.rl.grpo")]


def test_no_imports_go_in_a_circle():
    TopologicalSorter(GRAPH).prepare()
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_and_what_it_may_import(room):
    said = ast.get_docstring(ast.parse((LIBRARY / room / "__init__.py").read_text()))
    assert said and len(said.splitlines()) <= 15
    assert "ay import" in said


def test_no_module_is_long_and_no_function_either():
    for path in MODULES.values():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 40, (path.name, node.name)


def test_the_readme_has_every_room_and_its_lines():
    said, counted = lines.said(lines.README.read_text(encoding="utf-8")), lines.by_room()
    assert said.keys() == counted.keys()
    for room, number in counted.items():
        assert abs(said[room] - number) <= 0.05 * number, "run python -m tests.house.lines"
    assert lines.said(lines.written("  rl/   7  x")) == {"rl/": counted["rl/"]}


def test_a_large_room_says_why():
    for room, number in lines.by_room().items():
        if number > 2000 and room != "ground":
            text = (LIBRARY / room / "__init__.py").read_text(encoding="utf-8")
            assert "lines because" in text, room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_every_module_in_it(room):
    said = ast.get_docstring(ast.parse((LIBRARY / room / "__init__.py").read_text()))
    modules = {path.stem for path in (LIBRARY / room).glob("*.py")} - {"__init__"}
    if room != "widgets":  # there each is one widget
        assert modules <= set(re.findall(r"`(\w+)", said)), room


def test_every_file_of_settings_is_packed_with_the_library():
    packed = tomllib.loads((LIBRARY.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    kinds = {f"**/*{p.suffix}" for p in LIBRARY.rglob("*.*") if "assets" not in p.parts}
    assert kinds - {"**/*.py", "**/*.pyc"} <= set(packed["package-data"]["course_lib"])

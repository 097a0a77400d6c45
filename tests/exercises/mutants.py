"""Small changes to a function's code, one at a time: what a slip of the fingers would make of it.

mutmut and cosmic-ray run a test command for each mutant; here a mutant is a few calls in the same
process, so the tree is changed and compiled directly.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

_COMPARE = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
_BINARY = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,), ast.Pow: (ast.Mult,), ast.MatMult: (ast.Mult,),
}  # fmt: skip
_NAMES = {"min": "max", "max": "min", "minimum": "maximum", "sum": "mean", "mean": "sum"}
_DROPPED = ("strip", "lstrip", "lower", "abs", "removeprefix", "clamp", "float", "long", "double")


def mutants(code: str) -> Iterator[tuple[str, str]]:
    """(what was changed, the changed code) for every small change to a module's code."""
    tree = ast.parse(code)
    for place, node in enumerate(ast.walk(tree)):
        for what, change in _changes(node):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(changed))[place]
            _replace(changed, target, change)
            text = ast.unparse(ast.fix_missing_locations(changed))
            yield f"line {getattr(node, 'lineno', 0)}: {what}", text


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """What a node may become; None leaves the statement out."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for kind in _COMPARE[type(node.ops[0])]:
            new = ast.Compare(node.left, [kind()], node.comparators)
            yield f"{ast.unparse(node)} -> {ast.unparse(new)}", new
    elif isinstance(node, ast.BinOp):
        for kind in _BINARY.get(type(node.op), ()):
            new = ast.BinOp(node.left, kind(), node.right)
            yield f"{ast.unparse(node)} -> {ast.unparse(new)}", new
    elif isinstance(node, ast.AugAssign) and type(node.op) in _BINARY:
        new = ast.AugAssign(node.target, _BINARY[type(node.op)][0](), node.value)
        yield f"{ast.unparse(node)} -> {ast.unparse(new)}", new
        yield f"without {ast.unparse(node)}", None
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{ast.unparse(node)}: and / or", ast.BoolOp(other, node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield f"{ast.unparse(node)} -> {ast.unparse(node.operand)}", node.operand
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.IfExp):
        yield f"always {ast.unparse(node.body)}", node.body
        yield f"always {ast.unparse(node.orelse)}", node.orelse
    elif isinstance(node, ast.Continue | ast.Expr | ast.If) and not _is_docstring(node):
        yield f"without {ast.unparse(node)[:60]}", None


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.value, bool):
        yield f"{node.value} -> {not node.value}", ast.Constant(not node.value)
    elif isinstance(node.value, int | float):
        yield f"{node.value} -> {node.value + 1}", ast.Constant(node.value + 1)
        if node.value not in (0, 1):
            yield f"{node.value} -> {node.value - 1}", ast.Constant(node.value - 1)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in _NAMES and isinstance(function, ast.Attribute):
        new = ast.Call(ast.Attribute(function.value, _NAMES[name]), node.args, node.keywords)
        yield f"{name} -> {_NAMES[name]}", new
    elif name in ("min", "max"):
        yield (
            f"{name} -> {_NAMES[name]}",
            ast.Call(ast.Name(_NAMES[name]), node.args, node.keywords),
        )
    if name in _DROPPED and isinstance(function, ast.Attribute):
        yield f"without .{name}()", function.value
    elif name in ("abs", "int", "float", "round") and node.args:
        yield f"without {name}()", node.args[0]


def _replace(tree: ast.AST, target: ast.AST, new: ast.AST | None) -> None:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, field, new or ast.Pass())
            elif isinstance(value, list) and any(item is target for item in value):
                made = [new or ast.Pass() if item is target else item for item in value]
                setattr(parent, field, made)

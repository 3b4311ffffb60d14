"""Every small change of a module that its tests should see: one operator, number or branch.

Docstrings, messages, annotations, decorators and asserts are left alone: what changes there changes
no behaviour that a caller may rely on.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed module: which line, what became what, and the whole source."""

    line: int
    change: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Return every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    return [_mutant(tree, node, other) for node in _nodes(tree) for other in _changes(node)]


def _mutant(tree: ast.Module, node: ast.AST, mutated: ast.AST) -> Mutant:
    old = copy.copy(node.__dict__)
    before = ast.unparse(node)
    node.__dict__.update(mutated.__dict__)
    kind, node.__class__ = node.__class__, mutated.__class__
    try:
        change = f"{_short(before)}  →  {_short(ast.unparse(node))}"
        return Mutant(old["lineno"], change, ast.unparse(tree))
    finally:
        node.__class__ = kind
        node.__dict__.clear()
        node.__dict__.update(old)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through what behaves."""
    if isinstance(node, ast.Assert | ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        if isinstance(node, ast.Raise):
            yield node
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _nodes(child)


def _changes(node: ast.AST) -> list[ast.AST]:
    """Return what may stand in the place of a node."""
    if isinstance(node, ast.stmt):
        return _statements(node)
    match node:
        case ast.Compare(left, [operator, *rest], comparators) if type(operator) in _COMPARISONS:
            return [ast.Compare(left, [_COMPARISONS[type(operator)](), *rest], comparators)]
        case ast.BoolOp(operator, values):
            return [ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)]
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            return [ast.BinOp(left, _OPERATORS[type(operator)](), right)]
        case ast.UnaryOp(ast.Not(), operand):
            return [ast.Call(ast.Name("bool"), [operand], [])]
        case ast.IfExp(test, body, orelse):
            return [ast.IfExp(test, orelse, body)]
        case ast.Constant(bool() | int() | float() as value):
            return [ast.Constant(not value if isinstance(value, bool) else value + 1)]
        case _:
            return []


def _statements(node: ast.stmt) -> list[ast.AST]:
    match node:
        case ast.If(test, body, orelse):
            return [ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)]
        case ast.Return(ast.expr() as value) if not _is_none(value):
            return [ast.Return(ast.Constant(None))]
        case ast.Raise() | ast.Expr(ast.Call() | ast.YieldFrom()) | ast.AugAssign():
            return [ast.Pass()]
        case ast.Break():
            return [ast.Continue()]
        case ast.Continue():
            return [ast.Break()]
        case _:
            return []


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _short(text: str) -> str:
    line = text.splitlines()[0]
    return line if len(line) <= 60 else f"{line[:59]}…"

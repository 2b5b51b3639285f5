"""The mutants of a module: what Cosmic Ray makes of it, without those that cannot behave otherwise."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from typing import Final, override

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

# These two replace names by random ones: they give another mutant each time.
_RANDOM: Final = ("VariableReplacer", "VariableInserter")
_PROMISES: Final = frozenset({"frozen", "kw_only"})


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A module with one change; place names the change, change shows it."""

    place: str
    source: str
    change: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield the mutants of a source, always in the same order."""
    tree = get_ast(source)
    nodes = tuple(ast_nodes(tree))
    meaning = _meaning(source)
    for name in sorted(operator_names()):
        if name.endswith(_RANDOM):
            continue
        operator = get_operator(name)()
        count = sum(len(tuple(operator.mutation_positions(node))) for node in nodes)
        for occurrence in range(count):
            mutated = mutate_code(source, operator, occurrence)
            if mutated is not None and _is_other(mutated, meaning):
                yield Mutant(place=f"{name}:{occurrence}", source=mutated, change=_change(source, mutated))


def _is_other(mutated: str, meaning: str) -> bool:
    try:
        return _meaning(mutated) != meaning
    except SyntaxError:
        return False


def _meaning(source: str) -> str:
    """Return what of a source has a meaning while it runs: not its annotations, type aliases and docstrings."""
    return ast.dump(_Bare().visit(ast.parse(source)))


class _Bare(ast.NodeTransformer):
    """Takes away what only people and type checkers read."""

    @override
    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    @override
    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        node.annotation = ast.Constant(None)
        return node

    @override
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        # That a method replaces another is said to type checkers only.
        node.decorator_list = [one for one in node.decorator_list if ast.unparse(one) != "override"]
        self.generic_visit(node)
        return node

    @override
    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        # What a dataclass forbids, type checkers forbid too.
        if node.arg in _PROMISES:
            node.value = ast.Constant(None)
        self.generic_visit(node)
        return node

    @override
    def visit_TypeAlias(self, node: ast.TypeAlias) -> ast.AST | None:
        return None

    @override
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant):
            return None
        self.generic_visit(node)
        return node


def _change(source: str, mutated: str) -> str:
    lines = unified_diff(source.splitlines(), mutated.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))

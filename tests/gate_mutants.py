"""Swapping the comparisons of a gate one at a time, in copies, and asking the copies what the gate is asked.

What a gate has to tell apart is in the tests of that gate.
"""

import ast
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

SWAPS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
Scenario = Callable[[Callable[..., Any]], Any]
"""Asks a function, or a changed copy of it, one thing."""


@dataclass(frozen=True)
class Mutant:
    """One swapped comparison."""

    place: str
    tree: ast.Module


def mutants(source: str, parts: Sequence[str]) -> Iterator[Mutant]:
    """Every single swap of a comparison inside the named functions."""
    tree = ast.parse(source)
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in parts):
        for node in (node for node in ast.walk(function) if isinstance(node, ast.Compare)):
            kept = list(node.ops)
            for index, operator in enumerate(kept):
                for other in SWAPS[type(operator)]:
                    node.ops = [*kept[:index], other(), *kept[index + 1 :]]
                    place = f"{function.name}, line {node.lineno}: {ast.unparse(node)}"
                    yield Mutant(place, copy.deepcopy(tree))
            node.ops = kept


def answers(function: Callable[..., Any], scenarios: Sequence[Scenario]) -> list[Any]:
    """What the function says in each scenario; a crash is an answer too."""
    said = []
    for scenario in scenarios:
        try:
            said.append(scenario(function))
        except Exception as error:  # noqa: BLE001 - a mutant may crash in any way
            said.append(repr(error))
    return said


def built(tree: ast.Module, original: ModuleType) -> ModuleType:
    """A copy of a module from a changed source, under the same name and outside `sys.modules`."""
    module = ModuleType(original.__name__)
    module.__file__ = original.__file__
    exec(compile(tree, str(original.__file__), "exec"), module.__dict__)  # noqa: S102 - our own source
    return module


def seen(answer: Any) -> Any:
    """What of an answer a person or a run would notice."""
    return answer if isinstance(answer, str) else (answer.outcome.value, dict(answer.figures), answer.missing)

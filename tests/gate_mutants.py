"""Swapping the comparisons of a gate one at a time, in copies, and asking the copies what the gate is asked.

What a gate has to tell apart is in the tests of that gate.
"""

import ast
import copy
import importlib
import inspect
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
class Judged:
    """One gate.

    Attributes:
        module: Where it is.
        function: The function that is called.
        parts: All functions of the module that decide.
        scenarios: Calls whose answers must tell every mutant apart.
    """

    module: str
    function: str
    parts: tuple[str, ...]
    scenarios: Sequence[Scenario]


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


def assert_held(judged: Judged) -> None:
    """Every mutant of the gate answers at least one scenario in another way."""
    module = importlib.import_module(judged.module)
    source = inspect.getsource(module)
    expected = answers(getattr(module, judged.function), judged.scenarios)
    assert not [said for said in expected if isinstance(said, str)], "a scenario crashes without any mutation"
    unchanged = built(ast.parse(source), module)
    assert list(map(seen, answers(getattr(unchanged, judged.function), judged.scenarios))) == list(map(seen, expected))
    found = list(mutants(source, judged.parts))
    survivors = [
        mutant.place
        for mutant in found
        if list(map(seen, answers(getattr(built(mutant.tree, module), judged.function), judged.scenarios)))
        == list(map(seen, expected))
    ]
    assert found, f"{judged.function} compares nothing; name the functions that decide"
    assert survivors == []

"""Reading the IDL of ROS 2 message definitions: the part of OMG IDL 4.2 that ROS 2 writes and people write for ROS 2.

Here belongs the grammar. It is read by a parser of our own because the usual one (rosbags) tries all alternatives of an
expression at each level: three pairs of brackets in a constant keep it busy for minutes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from fleet_assets.ingestion.recordings.messages.ros_types import Fields, RosDefinitionError, RosField

_TOKEN: Final = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/|\#[^\n]*|={20,}[^\n]*|^IDL:[^\n]*)"""
    r"""|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<number>[0-9][0-9A-Za-z_.]*)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>::|<<|>>|.)""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_BASE: Final = {
    "boolean": "bool", "octet": "uint8", "char": "uint8", "float": "float32", "double": "float64",
    "long double": "float128", "short": "int16", "long": "int32", "long long": "int64", "unsigned short": "uint16",
    "unsigned long": "uint32", "unsigned long long": "uint64", "string": "string", "wstring": "wstring",
    "wchar": "wchar",
} | {name: name for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")}  # fmt: skip
_WORDS: Final = {"unsigned", "long", "double", "short"}
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class _Type:
    """A type as written: its scope matters until all names are known."""

    name: str
    is_sequence: bool = False
    size: int | None = None


class _Parser:
    """One pass over the tokens.

    Args:
        text: The definition.
    """

    def __init__(self, text: str) -> None:
        self.tokens = [match[0] for match in _TOKEN.finditer(text) if match.lastgroup != "skip"]
        self.at = 0
        self.structs: dict[str, list[tuple[str, str, _Type]]] = {}
        self.aliases: dict[str, tuple[str, _Type]] = {}
        self.constants: dict[str, int] = {}
        self.enums: set[str] = set()

    def fail(self, wanted: str) -> NoReturn:
        found = self.tokens[self.at] if self.at < len(self.tokens) else "the end"
        raise RosDefinitionError(f"expected {wanted}, found {found[:40]!r}")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        if self.at >= len(self.tokens):
            self.fail("more text")
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.at += 1
        return True

    def expect(self, token: str) -> None:
        if not self.accept(token):
            self.fail(repr(token))

    def identifier(self) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*", self.peek()):
            self.fail("a name")
        return self.take()

    def skip_until(self, *ends: str) -> None:
        """Skip to one of these tokens outside brackets, and stop in front of it."""
        depth = 0
        while depth or self.peek() not in ends:
            sign = self.take()
            depth += (sign in "([{") - (sign in ")]}")

    def annotations(self) -> None:
        while self.accept("@"):
            self.scoped_name()
            if self.accept("("):
                self.skip_until(")")
                self.expect(")")

    def scoped_name(self) -> str:
        name = "/" if self.accept("::") else ""
        name += self.identifier()
        while self.accept("::"):
            name += "/" + self.identifier()
        return name

    def definitions(self, scope: str, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise RosDefinitionError(f"modules lie more than {_DEEPEST} deep in each other")
        while self.peek() not in ("", "}"):
            self.annotations()
            word = self.identifier()
            if word == "module":
                name = self.identifier()
                self.expect("{")
                self.definitions(f"{scope}/{name}" if scope else name, depth + 1)
                self.expect("}")
            else:
                self.declaration(word, scope)
            if not self.accept(";") and self.peek() not in ("", "}", "module"):
                self.fail("';'")

    def declaration(self, word: str, scope: str) -> None:
        if word == "struct":
            self.struct(scope)
        elif word == "typedef":
            for name, kind in self.declarators(self.type(scope), scope):
                self.aliases[f"{scope}/{name}"] = (scope, kind)
        elif word == "const":
            self.type(scope)
            name = self.identifier()
            self.expect("=")
            value = self.peek()
            self.skip_until(";")
            if self.tokens[self.at - 1] == value and re.fullmatch(r"[0-9]{1,10}", value):
                self.constants[f"{scope}/{name}"] = int(value)
        elif word == "enum":
            self.enums.add(f"{scope}/{self.identifier()}")
            self.skip_until(";")
        else:
            raise RosDefinitionError(f"{word} is not supported in message definitions")

    def struct(self, scope: str) -> None:
        name = f"{scope}/{self.identifier()}"
        if self.peek() == ":":
            raise RosDefinitionError(f"{name} inherits from another struct, which ROS 2 does not know")
        self.expect("{")
        members: list[tuple[str, str, _Type]] = []
        while not self.accept("}"):
            self.annotations()
            members += [(scope, member, kind) for member, kind in self.declarators(self.type(name), name)]
            self.expect(";")
        self.structs[name] = members

    def type(self, scope: str) -> _Type:
        if self.accept("sequence"):
            self.expect("<")
            element = self.type(scope) if self.peek() != "sequence" else None
            if element is None or element.is_sequence:
                raise RosDefinitionError("sequences of sequences are not supported")
            if self.accept(","):
                self.size(scope)
            self.expect(">")
            return _Type(element.name, is_sequence=True)
        words = [self.scoped_name()]
        if words[0] in _WORDS:
            while self.peek() in _WORDS:
                words.append(self.take())
        name = " ".join(words)
        if name in ("string", "wstring") and self.accept("<"):
            self.size(scope)
            self.expect(">")
        return _Type(name)

    def size(self, scope: str) -> int:
        word = self.peek()
        if re.fullmatch(r"[0-9]{1,10}", word):
            return int(self.take())
        name = self.scoped_name()
        found = _resolved(name, scope, self.constants)
        if found is None:
            raise RosDefinitionError(f"the size {name} is not a constant with a plain number")
        return self.constants[found]

    def declarators(self, kind: _Type, scope: str) -> list[tuple[str, _Type]]:
        declared = []
        while True:
            name = self.identifier()
            found = kind
            if self.accept("["):
                if kind.is_sequence:
                    raise RosDefinitionError(f"{name} is an array of sequences, which is not supported")
                found = _Type(kind.name, size=self.size(scope))
                self.expect("]")
            if self.peek() == "[":
                raise RosDefinitionError(f"{name} has several dimensions, which is not supported")
            declared.append((name, found))
            if not self.accept(","):
                return declared


def _resolved(name: str, scope: str, known: Mapping[str, object] | set[str]) -> str | None:
    """Find a name from the innermost scope outwards."""
    if name.startswith("/"):
        return name[1:] if name[1:] in known else None
    while scope:
        if f"{scope}/{name}" in known:
            return f"{scope}/{name}"
        scope = scope.rpartition("/")[0]
    return name if name in known else None


def _field(parser: _Parser, scope: str, name: str, kind: _Type) -> RosField:
    for _ in range(_DEEPEST):
        alias = _resolved(kind.name, scope, parser.aliases)
        if kind.name in _BASE or alias is None:
            break
        scope, meant = parser.aliases[alias]
        if (kind.is_sequence or kind.size is not None) and (meant.is_sequence or meant.size is not None):
            raise RosDefinitionError(f"{name} is an array of arrays, which is not supported")
        kind = _Type(meant.name, kind.is_sequence or meant.is_sequence, meant.size if kind.size is None else kind.size)
    if kind.name in _BASE:
        type_name = _BASE[kind.name]
    elif _resolved(kind.name, scope, parser.enums):
        type_name = "uint32"
    else:
        type_name = _resolved(kind.name, scope, parser.structs) or kind.name.removeprefix("/")
    return RosField(name, type_name, kind.is_sequence, kind.size)


def parse_idl(text: str) -> dict[str, Fields]:
    """Parse one or several IDL files behind each other.

    Args:
        text: IDL, as in an MCAP schema of encoding ``ros2idl``.

    Returns:
        Fields of each struct, by names such as ``sensor_msgs/msg/Imu``.

    Raises:
        RosDefinitionError: Saying what was found where it is no such IDL.

    Source: OMG IDL 4.2; https://design.ros2.org/articles/idl_interface_definition.html
    """
    parser = _Parser(text)
    parser.definitions("")
    if parser.peek():
        parser.fail("the end")
    return {
        name: tuple(_field(parser, name, member, kind) for _, member, kind in members)
        for name, members in parser.structs.items()
    }

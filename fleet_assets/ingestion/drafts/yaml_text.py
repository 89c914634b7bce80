"""Writing a draft down as YAML with its comments; the text parses to exactly the draft's values."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from fleet_assets.ingestion.drafts.draft import Draft, Entry

_WIDTH: Final = 118
_PLAIN: Final = re.compile(r"^[A-Za-z_/][A-Za-z0-9_/.-]*$")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n"})


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        plain = _PLAIN.match(value) is not None and value.lower() not in _WORDS
        return value if plain else _quoted(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    """A double-quoted scalar; characters that YAML does not print are escaped."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _said(text: str) -> str:
    # A name found in a recording may hold anything; a comment is one line of what can be printed.
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _flow(value: Any) -> str:
    if isinstance(value, Entry):
        return _flow(value.value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _comment(text: str, indent: str) -> str:
    return f"{indent}# {_said(text)}"


def _holds_entries(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(item, Entry) for item in value.values())


def _lines(key: str, entry: Entry, indent: str) -> Iterator[str]:
    yield from (_comment(f"unsure: {reason}", indent) for reason in entry.unsure)
    value = entry.value
    label = f"{indent}{_scalar(key)}:"
    note = f"   # {_said(entry.note)}" if entry.note else ""
    if _holds_entries(value):
        yield label + note
        for name, item in value.items():
            yield from _lines(name, item, indent + "  ")
    elif isinstance(value, dict) and value and len(label) + len(_flow(value)) >= _WIDTH:
        yield label + note
        for name, item in value.items():
            yield from _lines(name, Entry(item), indent + "  ")
    elif isinstance(value, list) and value and len(label) + len(_flow(value)) >= _WIDTH:
        yield label + note
        for item in value:
            yield f"{indent}  - {_flow(item)}"
    else:
        yield f"{label} {_flow(value)}{note}"


def yaml_text(draft: Draft) -> str:
    """The draft as a YAML document with comments."""
    lines = [_comment(line, "") for line in draft.head]
    for key, entry in draft.entries.items():
        lines += _lines(key, entry, "")
    lines += [_comment(line, "") for line in draft.tail]
    return "\n".join(lines) + "\n"

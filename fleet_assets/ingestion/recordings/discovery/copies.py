"""The same recording found twice, e.g. beside its backup: told from the bytes, read only as far as needed."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

_SAMPLE_BYTES: Final = 64 << 10
_BLOCK_BYTES: Final = 1 << 20


class HasFiles(Protocol):
    """Anything found that consists of files."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Files by relative name."""
        ...


_Found = TypeVar("_Found", bound=HasFiles)
_Content = TypeVar("_Content", int, Path)


def _sample(path: Path, size: int) -> bytes:
    """Digest of a file's ends; loggers write files of equal size that differ from the first bytes on."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        digest.update(stream.read(_SAMPLE_BYTES))
        stream.seek(max(0, size - _SAMPLE_BYTES))
        digest.update(stream.read(_SAMPLE_BYTES))
    return digest.digest()


def _whole(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(partial(stream.read, _BLOCK_BYTES), b""):
            digest.update(block)
    return digest.digest()


def same_content(paths: Sequence[Path]) -> list[list[Path]]:
    """Files with equal bytes; those of a size or with ends of their own are read no further.

    Args:
        paths: Readable files.

    Returns:
        Groups of at least two, each in the given order.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        by_size[path.stat().st_size].append(path)
    groups = []
    for size, equal in by_size.items():
        sampled: dict[bytes, list[Path]] = defaultdict(list)
        for path in equal if len(equal) > 1 else ():
            sampled[_sample(path, size)].append(path)
        for alike in sampled.values():
            whole: dict[bytes, list[Path]] = defaultdict(list)
            for path in alike if len(alike) > 1 else ():
                whole[_whole(path) if size > _SAMPLE_BYTES else b""].append(path)
            groups += [group for group in whole.values() if len(group) > 1]
    return groups


def _holders(contents: Sequence[Counter[_Content]]) -> list[set[int]]:
    """For each recording, the others that hold all of its contents."""
    having: dict[_Content, set[int]] = defaultdict(set)
    for number, content in enumerate(contents):
        for item in content:
            having[item].add(number)
    found = []
    for number, content in enumerate(contents):
        others = set[int].intersection(*(having[item] for item in content)) - {number} if content else set[int]()
        found.append({other for other in others if content <= contents[other]})
    return found


def copies(founds: Sequence[_Found]) -> list[tuple[_Found, _Found]]:
    """Recordings all of whose files are also in another one.

    Args:
        founds: Recordings in the order of preference: of two equal ones the first is no copy.

    Returns:
        (copy, of which), in the given order.
    """
    sizes = [Counter(path.stat().st_size for path in found.files.values()) for found in founds]
    alike = _holders(sizes)
    concerned = {number for number, others in enumerate(alike) if others}.union(*alike)
    paths = {path: None for number in sorted(concerned) for path in founds[number].files.values()}
    first = {path: group[0] for group in same_content(list(paths)) for path in group}
    contents = [
        Counter(first.get(path, path) for path in found.files.values()) if number in concerned else Counter[Path]()
        for number, found in enumerate(founds)
    ]

    def kept(number: int) -> tuple[int, int]:
        return -contents[number].total(), number

    held = [
        {other for other in others if kept(other) < kept(number)} for number, others in enumerate(_holders(contents))
    ]
    return [(founds[number], founds[min(others, key=kept)]) for number, others in enumerate(held) if others]

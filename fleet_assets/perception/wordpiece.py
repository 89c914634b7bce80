"""Text to tokens as BERT's uncased models want them (Devlin et al., NAACL 2019; google-research/bert, tokenization.py).

Here belongs splitting. What a network makes of the tokens is in `sentences.py`.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

FIRST, LAST, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
_LONGEST_WORD: Final = 100
_SYMBOLS: Final = frozenset("$+<=>^`|~")
"""ASCII symbols that Unicode does not count as punctuation; BERT does."""
_IDEOGRAPHS: Final = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class UnusableVocabularyError(ValueError):
    """A vocabulary without the tokens that every text needs."""


class WordPieces:
    """Splits text into pieces of a vocabulary.

    Args:
        vocabulary: File with one piece per line; the line's number is the token.

    Raises:
        UnusableVocabularyError: When a token that every text needs is not in it.
    """

    def __init__(self, vocabulary: Path) -> None:
        self._tokens = _read(vocabulary)

    def __call__(self, text: str, most: int) -> list[int]:
        """Tokens of a text between the tokens of begin and end.

        Args:
            text: The text.
            most: Most tokens, begin and end included; what goes beyond is cut off.
        """
        pieces = [piece for word in words(text) for piece in self._pieces(word)]
        return [self._tokens[FIRST], *pieces[: most - 2], self._tokens[LAST]]

    def _pieces(self, word: str) -> list[int]:
        """The longest known beginning, again and again; a word that cannot be put together is unknown as a whole."""
        found, at = [], 0
        while at < len(word) <= _LONGEST_WORD:
            prefix = "##" if at else ""
            ends = range(len(word), at, -1)
            end = next((end for end in ends if prefix + word[at:end] in self._tokens), None)
            if end is None:
                return [self._tokens[UNKNOWN]]
            found.append(self._tokens[prefix + word[at:end]])
            at = end
        return found or [self._tokens[UNKNOWN]]


@lru_cache(maxsize=4)
def _read(path: Path) -> Mapping[str, int]:
    lines = path.read_text(encoding="utf-8").split("\n")
    tokens = {line.rstrip("\r"): number for number, line in enumerate(lines) if line}
    if lacking := [name for name in (FIRST, LAST, UNKNOWN) if name not in tokens]:
        raise UnusableVocabularyError(f"{path}: no line {', '.join(lacking)}. Use the vocabulary of a BERT model.")
    return tokens


def words(text: str) -> Iterator[str]:
    """Words in lower case without accents; every punctuation mark and ideograph is one of its own."""
    word = ""
    for sign in unicodedata.normalize("NFD", _cleaned(text).lower()):
        category = unicodedata.category(sign)
        if category == "Mn":
            continue
        alone = category.startswith("P") or sign in _SYMBOLS or _is_ideograph(sign)
        if alone or sign.isspace():
            if word:
                yield word
            word = ""
            if alone:
                yield sign
        else:
            word += sign
    if word:
        yield word


def _cleaned(text: str) -> str:
    """Without control characters; line ends and tabs are blanks."""
    kept = (
        " " if sign in "\t\n\r" else sign
        for sign in text
        if sign in "\t\n\r" or not (unicodedata.category(sign).startswith("C") or sign == "\ufffd")
    )
    return "".join(kept)


def _is_ideograph(sign: str) -> bool:
    return any(first <= ord(sign) <= last for first, last in _IDEOGRAPHS)

"""Mining requests: what is asked for, as YAML that a person writes and as the body of a request of kind `mining`.

Here belongs what a request means and what is fixed when it is placed. Answering it is in `mine.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.policy.documents import InvalidPolicyError, digest_of, load_document, load_schema, validate
from fleet_assets.provenance.requests import Request

KIND: Final = "mining"
"""Kind of the requests that this workflow answers."""
SCHEMA: Final = "mining_request"
MAX_BYTES: Final = 262_144
"""Of a request file: ten thousand names of clips fit in."""


class InvalidMiningRequestError(ValueError):
    """A mining request that cannot be answered; the message names place, rule, value and remedy."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How many clips of a slice are wanted.

    Attributes:
        name: Name of the slice.
        where: Predicate over clips that says which are in it.
        least: Fewest clips.
        most: Most clips; None where there is no such limit.
    """

    name: str
    where: str
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class MiningRequest:
    """What is asked for.

    Attributes:
        name: Name of the request.
        where: Predicates over clips, all of which have to hold.
        words: Query over the text of clips, or None.
        meaning: Sentence whose vector is compared with those of clips, or None.
        meaning_nearest: How many of the nearest by meaning count.
        seeds: Clips that the wanted ones are like.
        seeds_nearest: How many of the nearest to the seeds count.
        modalities: Weight by modality of the vectors that clips are compared by.
        dimensions: Principal components that are kept of each modality.
        normalise: Whether each modality's vector has length one before they are joined.
        budget: Most clips, and most seconds and bytes where they are limited, by name.
        quotas: Slices with their limits, by name.
        without_clips: Clips to leave out.
        without_drives: Drives to leave out.
        without_used: Whether clips of earlier requests are left out.
        weights: What makes a clip worth it, by name.
        seed: Of every choice that would otherwise be open.
        digest: SHA-256 over the document and the policy's defaults that it leaves open.
    """

    name: str
    where: tuple[str, ...]
    words: str | None
    meaning: str | None
    meaning_nearest: int
    seeds: tuple[str, ...]
    seeds_nearest: int
    modalities: Mapping[str, float]
    dimensions: int
    normalise: bool
    budget: Mapping[str, float]
    quotas: tuple[Quota, ...]
    without_clips: frozenset[str]
    without_drives: frozenset[str]
    without_used: bool
    weights: Mapping[str, float]
    seed: int
    digest: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A request as it was placed: with the drives that it looks at and the requests that came before.

    Attributes:
        document: The request's document.
        drives: Drives that it looks at.
        golden: Clips of golden sets at that time.
        earlier: Identities of the mining requests before it.
    """

    document: Mapping[str, Any]
    drives: tuple[str, ...]
    golden: tuple[str, ...]
    earlier: tuple[str, ...]

    @property
    def body(self) -> dict[str, Any]:
        """As the body of a request."""
        return {
            "document": dict(self.document),
            "drives": list(self.drives),
            "golden": list(self.golden),
            "earlier": list(self.earlier),
        }


_BODY_KEYS: Final = ("document", "drives", "golden", "earlier")


def read_request(text: bytes, source: str) -> Mapping[str, Any]:
    """The document of a request file.

    Args:
        text: The file, which anybody may have written.
        source: Name used in errors.

    Raises:
        InvalidMiningRequestError: When it is too large, no valid YAML, or breaks the schema.
    """
    if len(text) > MAX_BYTES:
        raise InvalidMiningRequestError(
            f"{source}: {len(text)} bytes, limit {MAX_BYTES}. Name drives rather than clips, or split the request."
        )
    try:
        document = load_document(text, source, SCHEMA)
    except InvalidPolicyError as error:
        raise InvalidMiningRequestError(str(error)) from error
    _check_sense(document, source)
    return document


def _check_sense(document: Mapping[str, Any], source: str) -> None:
    """Refuse a request that asks for nothing, and limits that no list can keep.

    Raises:
        InvalidMiningRequestError: Naming what is missing, or the quota.
    """
    if not {"where", "text", "seeds"} & set(document):
        raise InvalidMiningRequestError(f"{source}: asks for nothing. Give where, text or seeds.")
    clips = document["budget"]["clips"]
    for name, quota in document.get("quotas", {}).items():
        least, most = quota.get("min", 0), quota.get("max")
        if not {"min", "max"} & set(quota):
            raise InvalidMiningRequestError(f"{source}: quotas/{name}: limits nothing. Give min, max or both.")
        if most is not None and least > most:
            raise InvalidMiningRequestError(f"{source}: quotas/{name}: min {least} is more than max {most}.")
        if least > clips:
            raise InvalidMiningRequestError(
                f"{source}: quotas/{name}: min {least} is more than budget/clips {clips}. Raise the budget."
            )


def parse_request(document: Mapping[str, Any], policy: Mapping[str, Any]) -> MiningRequest:
    """What a checked document asks for; what it leaves open is the policy's.

    Args:
        document: As `read_request` gives it.
        policy: The document `mining` of the policies.
    """
    text, seeds, excludes = (document.get(key, {}) for key in ("text", "seeds", "excludes"))
    embedding = {**policy["embedding"], **document.get("embedding", {})}
    weights = {**policy["weights"], **document.get("weights", {})}
    return MiningRequest(
        name=document["name"],
        where=tuple(document.get("where", ())),
        words=text.get("words"),
        meaning=text.get("meaning"),
        meaning_nearest=text.get("nearest", 0),
        seeds=tuple(sorted(seeds.get("clips", ()))),
        seeds_nearest=seeds.get("nearest", 0),
        modalities=dict(sorted(embedding["modalities"].items())),
        dimensions=embedding["dimensions"],
        normalise=embedding["normalise"],
        budget=dict(document["budget"]),
        quotas=tuple(
            Quota(name, quota["where"], quota.get("min", 0), quota.get("max"))
            for name, quota in sorted(document.get("quotas", {}).items())
        ),
        without_clips=frozenset(excludes.get("clips", ())),
        without_drives=frozenset(excludes.get("drives", ())),
        without_used=excludes.get("used", True),
        weights=weights,
        seed=document.get("seed", 0),
        digest=digest_of([dict(document), embedding, weights]),
    )


def placed_from(body: Mapping[str, Any]) -> Placed:
    """The placed request in a request's body, which any workflow may have written.

    Raises:
        InvalidMiningRequestError: When the body is none.
    """
    lists = {key: body.get(key) for key in _BODY_KEYS[1:]}
    if set(body) != set(_BODY_KEYS) or not isinstance(body["document"], dict) or not all(map(_names, lists.values())):
        raise InvalidMiningRequestError(
            f"the body of a {KIND} request has the keys {', '.join(_BODY_KEYS)}, all but the first lists of text; this "
            f"one has {', '.join(sorted(map(str, body)))}. Place it with `fleet mine`."
        )
    try:
        validate(body["document"], load_schema(SCHEMA), "document")
    except InvalidPolicyError as error:
        raise InvalidMiningRequestError(str(error)) from error
    _check_sense(body["document"], "document")
    return Placed(body["document"], *(tuple(lists[key] or ()) for key in _BODY_KEYS[1:]))


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def place(
    document: Mapping[str, Any], drives: Iterable[str], golden: Iterable[str], cause: str, book: Sequence[Request]
) -> Request:
    """The request for a document as the lake is now; the same one again while nothing of that changed.

    Args:
        document: As `read_request` gives it.
        drives: Drives that can be looked at now.
        golden: Clips of golden sets.
        cause: What led to it.
        book: All requests so far.
    """
    mine = [request for request in book if request.kind == KIND]
    wanted = {"document": dict(document), "drives": sorted(drives), "golden": sorted(golden)}
    for request in sorted(mine, key=lambda one: (len(one.body.get("earlier", ())), one.request_id)):
        if {key: request.body.get(key) for key in wanted} == wanted:
            return request
    earlier = sorted(request.request_id for request in mine)
    placed = Placed(document, tuple(wanted["drives"]), tuple(wanted["golden"]), tuple(earlier))
    return Request(KIND, placed.body, cause)

"""Gates of maps and enrichment: snapshots account for every way, drives lie on the roads that the map shows.

Here belong pure functions from rows to verdicts. Limits come from the policies `maps` and `weather`. Drives are the
units; one that no map covers is counted and named, and fails nothing.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, all_of, evidence_digest
from fleet_assets.ingestion.map_and_weather_enrichment.matching import MATCHED, NOT_COVERED
from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import NO_OBSERVATION

_NAMED: Final = 5
_M_PER_KM: Final = 1000.0
_S_PER_MIN: Final = 60.0


def _names(drives: Collection[str]) -> str:
    shown = sorted(drives)[:_NAMED]
    return ", ".join(shown) + (f" and {len(drives) - _NAMED} more" if len(drives) > _NAMED else "")


def snapshot_verdict(
    rows: Sequence[Mapping[str, Any]], edges_by_way: Mapping[int, int], *, policy_digest: str
) -> Verdict:
    """Every way with a highway tag became part of the network or is left out for a counted reason.

    Args:
        rows: Rows of `map.road_network` of one snapshot.
        edges_by_way: Way → its edges, counted in `map.road_edges` of the snapshot.
        policy_digest: Digest of the policy in force.

    Returns:
        Fail for a refused extract, when ways lack a reason, when roads for cars have neither an edge nor a reason why
        not, or when edges are more or fewer than were made; inconclusive while there is no row, or one that does not
        tell which roads have no edge; else pass.
    """
    told = [{name: row[name] for name in sorted(row)} for row in rows]
    digest = evidence_digest([told, len(edges_by_way), sum(edges_by_way.values())])
    if not rows:
        missing = ("the snapshot itself: materialize map/road_network of this partition",)
        return Verdict(Outcome.INCONCLUSIVE, {}, digest, policy_digest, missing)
    (row,) = rows
    counted = row["car_ways"] + row["other_ways"] + row["closed_ways"] + row["broken_ways"]
    figures: dict[str, Figure] = {
        name: row[name]
        for name in ("highway_ways", "car_ways", "incomplete_ways", "edges", "junctions", "cells", "length_km")
    }
    if row["status"] != "usable":
        return Verdict(Outcome.FAIL, {**figures, "refused": row["message"]}, digest, policy_digest)
    if row["cut_off_ways"] is None:
        missing = ("which roads have no edge, not told yet then: add the extract again with `fleet map add`",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    without = {
        "ways_without_reason": row["highway_ways"] - counted,
        "roads_without_edge": row["car_ways"] - len(edges_by_way) - row["cut_off_ways"] - row["lengthless_ways"],
        "edges_missing": row["edges"] - sum(edges_by_way.values()),
    }
    figures |= {name: row[name] for name in ("cut_off_ways", "lengthless_ways")}
    wrong = {name: count for name, count in without.items() if count != 0}
    return Verdict(Outcome.FAIL if wrong else Outcome.PASS, {**figures, **wrong}, digest, policy_digest)


def matching_verdict(
    rows: Sequence[Mapping[str, Any]], waiting: Collection[str], policy: Mapping[str, Any], *, policy_digest: str
) -> Verdict:
    """The drives that a map covers lie on its roads: share, distance, continuity.

    Args:
        rows: Rows of `silver.map_matches` of one partition.
        waiting: Drives that were not matched yet.
        policy: Key `gate` of the policy `maps`.
        policy_digest: Its digest.

    Returns:
        The conjunction over the drives that have enough positions on the map, with the worst figures; inconclusive
        where there are only shorter ones. Drives that no map covers are named and let through.
    """
    covered = [row for row in rows if row["status"] == MATCHED]
    long = [row for row in covered if row["positions"] - row["outside"] >= policy["min_positions"]]
    verdicts = {row["drive_id"]: _drive_verdict(row, policy, policy_digest) for row in long}
    judged = [row for row in long if row["snapped"]]
    figures: dict[str, Figure] = {"drives": len(rows), "matched": len(covered), "judged": len(long)}
    if covered and not long:
        least = f"at least {policy['min_positions']} are needed to judge one"
        missing = (f"positions on the map: {_names([row['drive_id'] for row in covered])} have too few, {least}",)
        digest = evidence_digest(sorted(row["drive_id"] for row in covered))
        verdicts["short"] = Verdict(Outcome.INCONCLUSIVE, {}, digest, policy_digest, missing)
    if outside := [row["drive_id"] for row in rows if row["status"] == NOT_COVERED]:
        figures |= {"not_covered": len(outside), "not_covered_drives": _names(outside)}
    if judged:
        figures |= {
            "worst_share": min(_share(row) for row in judged),
            "worst_p95_offset_m": max(row["p95_offset_m"] for row in judged),
            "worst_offset_m": max(row["max_offset_m"] for row in judged),
            "breaks": sum(row["breaks"] for row in judged),
        }
    if failed := [name for name, part in verdicts.items() if part.outcome is Outcome.FAIL]:
        figures["failed_drives"] = _names(failed)
    if waiting:
        missing = (f"matches of {_names(waiting)}: run silver/map_context of this partition",)
        verdicts["waiting"] = Verdict(
            Outcome.INCONCLUSIVE, {}, evidence_digest(sorted(waiting)), policy_digest, missing
        )
    return replace(all_of(verdicts), figures=figures, policy_digest=policy_digest)


def _share(row: Mapping[str, Any]) -> float:
    on_map: int = row["positions"] - row["outside"]
    return float(row["snapped"]) / max(on_map, 1)


def _drive_verdict(row: Mapping[str, Any], policy: Mapping[str, Any], policy_digest: str) -> Verdict:
    names = ("positions", "outside", "snapped", "p95_offset_m", "max_offset_m", "breaks", "route_km")
    digest = evidence_digest({name: row[name] for name in names})
    good = (
        _share(row) >= policy["min_share_snapped"]
        and (row["p95_offset_m"] or 0.0) <= policy["max_p95_offset_m"]
        and (row["max_offset_m"] or 0.0) <= policy["max_offset_m"]
        and row["breaks"] <= policy["max_breaks_per_km"] * row["route_km"]
    )
    return Verdict(Outcome.PASS if good else Outcome.FAIL, {}, digest, policy_digest)


def weather_files_verdict(
    rows: Sequence[Mapping[str, Any]], waiting: Collection[str], *, policy_digest: str
) -> Verdict:
    """Every weather file that landed can be used.

    Args:
        rows: Rows of `bronze.weather_days` of the files that were read as they are in the landing zone.
        waiting: Files that landed, or came anew, and were not read since.
        policy_digest: Digest of the policy in force.

    Returns:
        Fail when a file is refused; inconclusive while files wait; pass otherwise, also for no files at all.
    """
    refused = [row for row in rows if row["status"] == "refused"]
    figures: dict[str, Figure] = {
        "files": len({row["file"] for row in rows}),
        "station_days": len(rows) - len(refused),
        "refused": len(refused),
        "duplicates": sum(row["duplicates"] for row in rows),
        "waiting": len(waiting),
    }
    told = [[row["file"], row["station"], row["day"], row["digest"]] for row in rows]
    digest = evidence_digest([told, sorted(waiting)])
    if refused:
        figures["first_refusal"] = refused[0]["message"]
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    if waiting:
        missing = (f"what {_names(waiting)} states: run bronze/weather_days",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    return Verdict(Outcome.PASS, figures, digest, policy_digest)


def weather_verdict(
    rows: Sequence[Mapping[str, Any]],
    clips: Collection[str],
    waiting: Collection[str],
    policy: Mapping[str, Any],
    *,
    policy_digest: str,
) -> Verdict:
    """Every clip has an observation within tolerance, or says why it has none.

    Args:
        rows: Rows of `silver.weather` of one partition.
        clips: Clips of the partition.
        waiting: Drives that were not joined yet.
        policy: The document `weather`.
        policy_digest: Digest of what is read of it.

    Returns:
        Fail when a clip has no row, a row has neither observation nor reason or breaks the tolerance, or too many clips
        with a station near lack an observation in time; inconclusive while drives wait; pass otherwise. Clips without a
        station near are counted by reason and fail nothing.
    """
    join = policy["join"]
    reasons = Counter(row["missing"] for row in rows if row["missing"] is not None)
    joined = [row for row in rows if row["missing"] is None]
    far = [
        row["clip_id"]
        for row in joined
        if row["station_distance_m"] is None
        or row["station_distance_m"] > join["max_distance_km"] * _M_PER_KM
        or abs(row["age_s"]) > join["max_minutes"] * _S_PER_MIN
    ]
    without = set(clips) - {row["clip_id"] for row in rows}
    near = len(joined) + reasons[NO_OBSERVATION]
    share = reasons[NO_OBSERVATION] / near if near else 0.0
    figures: dict[str, Figure] = {"clips": len(rows), "joined": len(joined), "missing_share_near_stations": share}
    figures |= {f"missing.{reason}": count for reason, count in sorted(reasons.items())}
    if missing_drives := {row["drive_id"] for row in rows if row["missing"] is not None}:
        figures["missing_drives"] = _names(missing_drives)
    told = [[row["clip_id"], row["station"], row["observed_ns"], row["missing"]] for row in rows]
    digest = evidence_digest([told, sorted(without), sorted(waiting)])
    if far:
        return Verdict(Outcome.FAIL, {**figures, "out_of_tolerance": _names(far)}, digest, policy_digest)
    if waiting:
        missing = (f"weather of {_names(waiting)}: run silver/weather of this partition",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    if without:
        return Verdict(Outcome.FAIL, {**figures, "clips_without_row": _names(without)}, digest, policy_digest)
    outcome = Outcome.FAIL if share > policy["gate"]["max_missing_share"] else Outcome.PASS
    return Verdict(outcome, figures, digest, policy_digest)

"""`fleet audit`: what the second detector saw in redacted media, and what a person makes of it."""

from typing import TYPE_CHECKING, Any

import click

from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session, fleet_command, table_text

if TYPE_CHECKING:
    from resources.platform import Fleet

_HITS = ("drive_id", "partition", "camera", "frame", "kind", "state", "why", "crop")
_OLDER = ("drive_id", "partition", "camera", "detector", "released_by", "policy_names")


def audit_hits(fleet: "Fleet") -> list[dict[str, Any]]:
    """Every hit of the auditor: exposed, judged by a person, or not confirmed; with the file of its crop."""
    from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import HELD
    from fleet_assets.tables.audit import REDACTION_AUDIT

    rows = fleet.lake.rows(REDACTION_AUDIT).to_pylist()
    return [
        {
            **{name: row[name] for name in ("drive_id", "camera", "frame", "t_ns", "kind", "score", "why")},
            "partition": f"{row['day']}|{row['depot']}",
            "state": "unconfirmed" if not row["confirmed"] else ("judged" if row["released_by"] else "exposed"),
            "released_by": row["released_by"],
            "crop_sha256": row["crop_sha256"],
            "crop": str(fleet.objects.local(row["crop_sha256"], HELD)),
        }
        for row in rows
    ]


def older_releases(fleet: "Fleet") -> list[dict[str, Any]]:
    """Drives that other detectors released than those that the policy names now."""
    from fleet_assets.ingestion.integrity_and_pii_redaction.audit.older import released_by_others
    from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.finders import weight_digests
    from fleet_assets.tables.audit import AUDITED_MEDIA
    from fleet_assets.tables.redaction import REDACTION_REPORT

    now = weight_digests(fleet.policies["redaction"]["detectors"], fleet.weights)
    report, audited = (fleet.lake.rows(table).to_pylist() for table in (REDACTION_REPORT, AUDITED_MEDIA))
    return released_by_others(report, audited, now)


@click.command()
@click.option("--exposed", is_flag=True, help="Only hits that hold their drive back.")
@click.option("--older", is_flag=True, help="Drives released by other detectors than the policy names.")
@click.option("--release", "crop", metavar="CROP", help="Judge that this crop (its SHA-256) shows nobody.")
@click.option("--by", help="With --release: who takes the responsibility.")
@click.option("--reason", help="With --release: why.")
@fleet_command
def audit(session: Session, *, exposed: bool, older: bool, crop: str | None, by: str | None, reason: str | None) -> int:
    r"""Show what the auditor saw in redacted media, with crops, and judge it.

    \b
    Example:
      fleet audit --exposed
      fleet audit --release 3b1f0f25… --by ana --reason "a statue"
      fleet audit --older
    """
    if older:
        rows = older_releases(session.fleet)
        session.answer(rows, lambda: table_text(rows, _OLDER) if rows else "every drive was released as the policy is")
        return DONE
    if crop is not None:
        return _release(session, crop, by, reason)
    hits = [row for row in audit_hits(session.fleet) if not exposed or row["state"] == "exposed"]
    session.answer(hits, lambda: table_text(hits, _HITS) if hits else "no hits")
    return REFUSED if any(row["state"] == "exposed" for row in hits) else DONE


def _release(session: Session, crop: str, by: str | None, reason: str | None) -> int:
    from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import RELEASE
    from fleet_assets.provenance.requests import Request

    if not (by and reason):
        click.echo("fleet: --release needs --by and --reason: someone answers for it.", err=True)
        return WRONG_USE
    found = [row for row in audit_hits(session.fleet) if row["crop_sha256"] == crop and row["state"] == "exposed"]
    if not found:
        click.echo(f"fleet: no exposed hit has the crop {crop!r}. `fleet audit --exposed` lists them.", err=True)
        return WRONG_USE
    for drive_id in sorted({row["drive_id"] for row in found}):
        body = {"drive_id": drive_id, "crop_sha256": crop, "by": by, "reason": reason}
        session.fleet.requests.append(Request(RELEASE, body, f"person:{by}"))
    session.crank().turn()
    left = [row for row in audit_hits(session.fleet) if row["state"] == "exposed"]
    session.answer(left, lambda: f"released; {len(left)} exposed hits are left")
    return DONE

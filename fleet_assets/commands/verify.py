"""`fleet verify`: is every byte what it was committed as, and can what is damaged be made again."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet_assets.commands.identity import lake_digests
from fleet_assets.commands.session import DONE, REFUSED, Session, fleet_command

if TYPE_CHECKING:
    from fleet_assets.provenance.ledger import Entry
    from fleet_assets.tables import Table
    from resources.platform import Fleet


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that is not what it should be.

    Attributes:
        text: What is wrong, for people.
        table: Table whose data file it concerns.
        entry: That data file.
        sha256: Digest of the damaged object that the data file names; empty where the data file itself is damaged.
        access: Class of that object.
    """

    text: str
    table: "Table"
    entry: "Entry"
    sha256: str = ""
    access: str = ""


@click.command()
@click.option(
    "--against", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A statement of `digest --sign`."
)
@click.option("--mend", is_flag=True, help="Make damaged files again from what they were made of.")
@fleet_command
def verify(session: Session, *, against: Path | None, mend: bool) -> int:
    r"""Read every data file and object again and compare with its digest. Exit code 1 when something differs.

    \b
    Example:
      fleet verify
      fleet verify --mend
      fleet verify --against roots.json
    """
    damages = mend_damage(session) if mend else find_damage(session.fleet)
    problems = [damage.text for damage in damages]
    if against is not None and not problems:
        problems += _unlike_statement(session, against)
    hint = "; `fleet verify --mend` makes again what can be made again" if damages and not mend else ""
    session.answer(
        {"ok": not problems, "problems": problems},
        lambda: "\n".join(
            [*problems, f"{len(problems)} problems{hint}" if problems else "every byte is what it should be"]
        ),
    )
    return REFUSED if problems else DONE


def find_damage(fleet: "Fleet") -> list[Damage]:
    """Every data file, and every object that one names, whose bytes are gone or differ from their digest."""
    files = list(_damaged_files(fleet))
    return files or list(_damaged_objects(fleet))


def _damaged_files(fleet: "Fleet") -> Iterator[Damage]:
    for table in fleet.tables.values():
        for entry in fleet.lake.entries(table):
            where = f"{table.name} {'|'.join([*entry.partition, entry.unit])}"
            try:
                found = hashlib.sha256(fleet.lake.files.read_bytes(entry.path)).hexdigest()
            except FileNotFoundError:
                yield Damage(f"{where}: the file is gone: {entry.path}", table, entry)
                continue
            if found != entry.digest:
                wanted = entry.digest[:12]
                yield Damage(f"{where}: file has digest {found[:12]}…, committed was {wanted}…", table, entry)


def _damaged_objects(fleet: "Fleet") -> Iterator[Damage]:
    from fleet_assets.tables.objects import OBJECT_COLUMNS

    known: dict[tuple[str, str], str] = {}
    for one in OBJECT_COLUMNS:
        table = fleet.table(one.table)
        for entry in fleet.lake.entries(table):
            rows = fleet.lake.read(table, [entry], one.columns).to_pylist()
            for digest in sorted({row[one.column] for row in rows if one.holds(row)}):
                if (one.access, digest) not in known:
                    known[one.access, digest] = _damage_of(fleet, digest, one.access)
                if wrong := known[one.access, digest]:
                    text = f"{one.what} of {entry.unit} ({table.name}): {wrong}"
                    yield Damage(text, table, entry, digest, one.access)


def _damage_of(fleet: "Fleet", digest: str, access: str) -> str:
    """What is wrong with an object; nothing where its bytes are what its digest says."""
    from fleet_assets.provenance.digests import file_sha256

    try:
        found = file_sha256(fleet.objects.local(digest, access))
    except FileNotFoundError as error:
        return str(error)
    return "" if found == digest else f"digest {found[:12]}…, registered was {digest[:12]}…"


def mend_damage(session: Session) -> list[Damage]:
    """Have damaged files made again. Returns what could not be: logs, and recordings whose upload is gone."""
    for _ in range(2):  # data files first: they say which recordings there should be
        damages = find_damage(session.fleet)
        for damage in damages:
            session.say(f"mending {damage.text}")
        if not _dropped(session.fleet, damages):
            return damages
        session.crank().turn()
    return find_damage(session.fleet)


def _dropped(fleet: "Fleet", damages: Sequence[Damage]) -> int:
    """Take damaged files out of the ledger, so that they are made again. Returns how many.

    What only the landing zone could give back stays as it is when the upload is not there any more: its drive would
    leave the lake with it. Logs stay too, since what happened cannot be made again.
    """
    from fleet_assets.ingestion.steps import REGISTER_STEP, read_state
    from fleet_assets.tables import TableKind

    accepted = read_state(fleet).admission.accepted
    dropped = 0
    for damage in damages:
        registered = damage.table.name in REGISTER_STEP.operator.outputs
        if damage.table.kind is TableKind.LOG or (registered and damage.entry.unit not in accepted):
            continue
        if damage.sha256:
            fleet.objects.delete(damage.sha256, damage.access)
        fleet.lake.commit(damage.table, [], removed=[damage.entry])
        dropped += 1
    return dropped


def _unlike_statement(session: Session, path: Path) -> list[str]:
    from fleet_assets.provenance.signing import SignatureRejectedError, Statement, parse_envelope
    from resources.signer import LocalSigner

    try:
        verifier = LocalSigner(key_dir=str(session.fleet.settings.keys)).verifier()
        stated = Statement.from_payload(verifier.verify(parse_envelope(path.read_bytes()))).subjects
    except SignatureRejectedError as error:
        return [f"{path}: {error}"]
    roots = lake_digests(session.fleet, objects=True)
    return [
        f"{name}: root is {roots.get(name, 'absent')[:12]}, signed was {stated.get(name, 'absent')[:12]}"
        for name in sorted({*roots, *stated})
        if roots.get(name) != stated.get(name)
    ]

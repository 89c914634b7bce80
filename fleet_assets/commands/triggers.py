"""Commands of the trigger policy: see that one compiles, and sign it."""

from pathlib import Path

import click

from fleet_assets.commands.session import DONE, REFUSED, Session, fleet_command


@click.group()
def triggers() -> None:
    """Check and sign the trigger policy."""


@triggers.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--vehicle", default="", help="Vehicle spec whose overrides apply.")
@fleet_command
def check(session: Session, file: Path | None, vehicle: str) -> int:
    r"""Compile a trigger policy and say what each trigger reads; the one in force without FILE.

    \b
    Example:
      fleet triggers check my_triggers.yaml --vehicle sim_car
    """
    from fleet_assets.policy.canonical import parse_canonical_signals
    from fleet_assets.policy.documents import InvalidPolicyError, digest_of, load_document
    from fleet_assets.policy.triggers import compile_triggers

    policies = session.policies
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    try:
        document = policies["triggers"] if file is None else load_document(file.read_bytes(), file.name, "triggers")
        compiled = compile_triggers(document, digest_of(document), canonical, vehicle_spec=vehicle)
    except InvalidPolicyError as error:
        click.echo(f"fleet: {error}", err=True)
        return REFUSED
    rows = [{"trigger": one.name, "unit": one.unit, "signals": sorted(one.signals)} for one in compiled.triggers]
    answer = {"version": compiled.version, "digest": compiled.digest, "triggers": rows}
    lines = [f"version {compiled.version}, digest {compiled.digest}"]
    lines += [f"  {one['trigger']}: {', '.join(one['signals'])}" for one in rows]
    session.answer(answer, lambda: "\n".join(lines))
    return DONE


@triggers.command()
@fleet_command
def sign(session: Session) -> int:
    r"""Sign the home's own trigger policy with the fleet's key; an unsigned one is not run.

    \b
    Example:
      fleet triggers sign
    """
    from fleet_assets.policy.documents import InvalidPolicyError
    from fleet_assets.policy.trigger_bundles import BUNDLE_FILE, seal

    folder = session.fleet.settings.policies
    folder.mkdir(parents=True, exist_ok=True)
    try:
        bundle = seal(session.fleet.policies, session.fleet.signing.signer())
    except InvalidPolicyError as error:
        click.echo(f"fleet: {error}", err=True)
        return REFUSED
    path = folder / BUNDLE_FILE
    path.write_bytes(bundle)
    digest = session.fleet.policies.digest("triggers")
    session.answer({"bundle": str(path), "digest": digest}, lambda: f"signed {digest} in {path}")
    return DONE

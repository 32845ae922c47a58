"""Before photos leave the machine: what goes where, whose, how much of it, and a yes."""

import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import typer

from audit import services, settings
from audit.clock import utc
from audit.errors import UserError
from audit.experiment import Experiment
from audit.preparation import Prepared
from audit.types import Split


def ask(experiment: Experiment, prepared: Prepared, *, yes: bool) -> Mapping[str, Any]:
    """Return the consent for the manifest; raises UserError when it is not given.

    An emulator and a local recogniser are this machine: nothing leaves, nothing is asked.
    """
    if not services.leaves_this_machine(experiment):
        return {"needed": False}
    counts = _counts(prepared.split)
    statement = _statement(_destination(experiment), prepared.split, counts)
    if not yes and not _answer(statement):
        raise UserError(
            "photos are not uploaded without a yes.",
            expected="'yes' at the question, or --yes where nobody can answer",
            remedy="`audit plan` shows what would be sent; --emulate rehearses it here",
        )
    return {
        "needed": True,
        "given_utc": utc(time.time()),
        "by": "--yes" if yes else "terminal",
        "counts": counts,
        "statement": statement,
    }


def _counts(split: Split) -> dict[str, int]:
    return {
        "protected_people": len(split.train),
        "training_photos": sum(map(len, split.train.values())),
        "probe_photos": sum(map(len, split.probe.values())),
        "decoy_people": len(split.decoy),
        "decoy_photos": sum(map(len, split.decoy.values())),
    }


def _destination(experiment: Experiment) -> str:
    """Return the service's name, and where it is asked as far as that is set."""
    capabilities = services.capabilities_of(experiment)
    given = {"endpoint": experiment.endpoint or "", "region": experiment.region or ""}
    found = settings.find(capabilities, given)
    where = {
        name: found[name].get_secret_value() for name in ("endpoint", "region") if name in found
    }
    if "endpoint" in where:
        where["endpoint"] = urlsplit(where["endpoint"]).hostname or ""
    named = [f"{name} {value}" for name, value in where.items() if value]
    return f"{capabilities.service} ({', '.join(named)})" if named else capabilities.service


def _statement(destination: str, split: Split, counts: Mapping[str, int]) -> str:
    return (
        f"To {destination} will be sent: {counts['training_photos']} photos to enrol and "
        f"{counts['probe_photos']} to probe with of {', '.join(split.train)}, the originals as "
        f"well as any cloaked ones, and {counts['decoy_photos']} photos of "
        f"{counts['decoy_people']} decoys. What is enrolled is stored there as face data until "
        "`audit purge` deletes it. All of these people must have agreed."
    )


def _answer(statement: str) -> bool:
    """Ask at the terminal; stdout is left to results, and the end of input is no yes."""
    if not sys.stdin.isatty():
        return False
    typer.echo(f"{statement} \nSend them? (yes/no) ", nl=False, err=True)
    return sys.stdin.readline().strip().lower() == "yes"

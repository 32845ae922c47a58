"""What a run writes about itself beside the ledger: manifest, observations, log."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from audit import cloak_jobs, manifest, preparation, results, services, settings, trained
from audit.calls import copy_of
from audit.clock import utc
from audit.errors import AuditError, ServiceRefused, Stopped
from audit.experiment import Experiment
from audit.folders import RunFolder, write_whole
from audit.ledger import Ledger
from audit.plan import price_usd
from audit.preparation import Prepared
from audit.types import SCHEMA_VERSION, Arm
from providers.base import Provider, Tier

_log = logging.getLogger("audit")


def note_service(folder: RunFolder, provider: Provider) -> None:
    """Record who was asked, and which models the service uses today once it has told them."""
    notes = manifest.Manifest(folder)
    service = notes.get("service") | {"account": provider.account}
    if provider.service_model:
        service["service_model"] = provider.service_model
    notes.update(service=service)


def write_down(
    experiment: Experiment, folder: RunFolder, prepared: Prepared, ledger: Ledger
) -> None:
    """Turn the answers so far into observations and counts."""
    notes = manifest.Manifest(folder)
    model = str(notes.get("service")["service_model"])
    context = results.Context(folder.id, experiment.provider, model, experiment.threshold)
    for arm in experiment.arms():
        ledger.record(results.observe(ledger, context, arm, prepared.split))
    write_whole(folder.observations, results.to_csv(ledger.observations()))
    enrolled = {arm.name: results.enrolments(ledger, arm.name) for arm in experiment.arms()}
    _write_tables(folder, ledger, [row for rows in enrolled.values() for row in rows])
    notes.update(
        **_counts(experiment, ledger),
        arms=[
            _arm(arm, Counter(row["outcome"] for row in enrolled[arm.name]))
            for arm in experiment.arms()
        ],
    )


def _write_tables(folder: RunFolder, ledger: Ledger, enrolled: Sequence[Mapping[str, Any]]) -> None:
    """Write what became of each photo sent for enrolment, and which photos were sent changed."""
    columns = ["arm", "person", "photo_sha256", "outcome", "code", "reason", "note"]
    write_whole(folder.enrolment, results.table(columns, enrolled))
    columns = ["arm", "photo", "uploaded_sha256", "bytes", "change"]
    changed = [row | {"photo": copy_of(row["photo"])[0]} for row in ledger.changes()]
    write_whole(folder.changed_uploads, results.table(columns, changed))


def _counts(experiment: Experiment, ledger: Ledger) -> dict[str, Any]:
    spent, states = ledger.attempts_by_operation(), ledger.states()
    return {
        "calls": {
            "planned": sum(states.values()),
            "sent": ledger.attempts_made(),
            "failed": states.get("failed", 0),
            "by_operation": spent,
        },
        "cost_usd": round(price_usd(services.tier_of(experiment), spent), 6),
        "uploads": {"fitted": experiment.fit_photos, "changed": len(ledger.changes())},
    }


def _arm(arm: Arm, outcomes: Mapping[str, int]) -> dict[str, Any]:
    return {
        "arm": arm.name,
        "game": arm.game,
        "system": arm.system,
        "level": arm.level,
        "targets": arm.targets,
        "cloaked_fraction": arm.cloaked_fraction,
        "transforms": list(arm.transforms),
        "sybils": arm.sybils,
        "settings": list(arm.settings),
        "enrolled": outcomes["enrolled"],
        "enrol_rejected": outcomes["no_face"] + outcomes["refused"],
    }


def describe(experiment: Experiment, folder: RunFolder, prepared: Prepared) -> None:
    """Record what runs, on what, with which photos and networks."""
    split, photo_set = prepared.split, prepared.photo_set
    notes = manifest.Manifest(folder)
    here = services.recognises_here(experiment)
    capabilities = services.capabilities_of(experiment)
    notes.update(
        schema_version=SCHEMA_VERSION,
        run_id=folder.id,
        started_utc=notes.get("started_utc") or utc(time.time()),
        exit_state="running",
        exit_message="",
        **manifest.environment(),
        **_networks(experiment, notes),
        photo_set_sha256=photo_set.sha256,
        photo_set_generated=photo_set.generated,
        split_seed=split.seed,
        service={
            "provider": experiment.provider,
            "name": capabilities.service,
            "compares_faces": capabilities.compares_faces,
            "emulated": experiment.is_emulated,
            "endpoint": experiment.endpoint or ("emulator" if experiment.is_emulated else ""),
            "api_version": experiment.api_version if "api_version" in capabilities.options else "",
            "region": experiment.region or "",
            "gallery": experiment.gallery_kind or "",
            "service_model": (notes.get("service") or {}).get("service_model", ""),
            "tier": services.tier_of(experiment).name,
            "limits": _limits(services.tier_of(experiment)),
            "priced_on": capabilities.priced_on,
            "recogniser": experiment.recogniser if here else "",
            "matching": experiment.matching if here else "",
        },
        counts={
            "people": len(photo_set.people),
            "photos": len(photo_set.photos),
            "rejected": len(photo_set.rejections) + len(split.rejections),
            "train": sum(map(len, split.train.values())),
            "probe": sum(map(len, split.probe.values())),
            "decoy_people": len(split.decoy),
            "decoy_photos": sum(map(len, split.decoy.values())),
        },
    )


def _limits(tier: Tier) -> list[dict[str, Any]]:
    """Return what the tier allows: each operation of a pattern by itself, "" all others together."""
    return [
        {"operations": operations, "calls": rate.calls, "per_s": rate.per_s}
        for operations, rates in (*tier.operation_rates.items(), ("", tier.rates))
        for rate in rates
    ]


def _networks(experiment: Experiment, notes: manifest.Manifest) -> dict[str, Any]:
    """Return which networks cloaked, with which parameters, and which one recognises here.

    Of a rerun, what cloaked stands in the manifest: those networks needn't be here any more.
    """
    if not notes.get("rerun_of"):
        names = preparation.networks_of(experiment)
        return {
            "device": _device(experiment.device) if names else "",
            "weights": weights(names),
            "trackers": trained.told(names),
            "cloaks": cloak_jobs.parameters_by_arm(experiment),
            "cloak_networks": [name for name in experiment.network if name in names],
        }
    names = preparation.judges_of(experiment)
    return {
        "device": _device(experiment.device) if names else "",
        "weights": (notes.get("weights") or {}) | weights(names),
        "trackers": trained.told(names),
    }


def _device(name: str) -> str:
    from cloaker.device import describe

    return describe(name)


def weights(names: Sequence[str]) -> dict[str, str]:
    """Return the networks' weights' SHA-256; raises UserError if one can't be loaded."""
    if not names:
        return {}
    from cloaker.networks import registry

    return {name: registry.load(name, "cpu").weights_sha256 for name in names}


class _RunLog(logging.FileHandler):
    """The log of a run. A full disk stops the run with a message; the log adds none of its own."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging has it
        """Say nothing."""


@contextmanager
def ending(folder: RunFolder) -> Iterator[None]:
    """Write into manifest and log how the work ended."""
    handler = _RunLog(folder.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    except BaseException as error:
        state = _exit_state(error)
        if state == "failed":
            _log.error("a defect\n%s", settings.hide(traceback.format_exc()))
        else:
            _log.info("%s: %s", state, settings.hide(str(error)))
        message = str(error) or traceback.format_exception_only(error)[-1].strip()
        manifest.Manifest(folder).update(
            exit_state=state, exit_message=settings.hide(message), ended_utc=utc(time.time())
        )
        if state == "interrupted":
            raise KeyboardInterrupt(f"`audit resume {folder.id}` continues it") from None
        raise
    finally:
        _log.removeHandler(handler)
        with suppress(OSError):
            handler.close()


def _exit_state(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, ServiceRefused):
        return "refused"
    if isinstance(error, Stopped | AuditError):
        return "stopped"
    return "failed"

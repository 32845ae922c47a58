"""One run, from photos to report; stopped anywhere, it goes on where it was.

Each stage leaves its result in the run folder and is skipped when that is there already:
photos.jsonl, cloaked/, the ledger's calls, observations, the report.
"""

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock
from typing import Any

from audit import (
    checks,
    cloaks,
    embedding_map,
    manifest,
    preparation,
    preregistration,
    purge,
    records,
    rerunning,
    services,
)
from audit.calls import CallRow, CallState
from audit.clock import utc
from audit.execution import Budget, Executor
from audit.expansion import Service, expand
from audit.experiment import Experiment, read_toml, resolve, to_toml
from audit.folders import RunFolder, new_run, private_folder, write_whole
from audit.ledger import Ledger
from audit.plan import CloakingForecast, Forecast, as_rows, forecast
from audit.preparation import Prepared
from audit.probing import Question
from audit.progress import Progress
from audit.pulse import Pulse
from audit.sending import Sender
from audit.steps import Steps
from audit.uploads import Uploads
from audit.workers import Workers
from providers.base import Provider


def plan(
    experiment: Experiment,
    progress: Progress,
    register: Callable[[Experiment, Prepared], Mapping[str, str]] | None = None,
) -> list[dict[str, object]]:
    """Return what a run would take, as a table; nothing is sent, no run is begun.

    `register` locks the experiment and returns what to say of it.
    """
    experiment, prepared = checks.before_run(experiment, progress)
    if register:
        locked = register(experiment, prepared)
        progress.say(f"locked: {locked['lock']}, SHA-256 {locked['sha256']}")
    return _plan(experiment, prepared, cloaks.forecast(experiment, prepared))


def forecasts(
    experiment: Experiment, progress: Progress, step_s: dict[str, float]
) -> tuple[Forecast, CloakingForecast]:
    """Return what a run's calls and its cloaking would take; nothing is sent, no run is begun.

    `step_s` keeps each system's seconds a step, which need not be measured again.
    """
    experiment, prepared = checks.before_run(experiment, progress)
    calls = _forecast(experiment, _service(experiment), prepared)
    return calls, cloaks.forecast(experiment, prepared, step_s)


def plan_rerun(old: RunFolder, **given: Any) -> list[dict[str, object]]:
    """Return what `rerun` would take; nothing is sent, no run is begun."""
    experiment, prepared = rerunning.checked(old, given)
    return _plan(experiment, prepared, CloakingForecast(0, 0.0, 0))


def _plan(
    experiment: Experiment, prepared: Prepared, cloaking: CloakingForecast
) -> list[dict[str, object]]:
    service = _service(experiment)
    planned = _forecast(experiment, service, prepared)
    other = replace(service, fresh=not service.fresh)
    otherwise = None
    if service.shares(experiment.arms()) or other.shares(experiment.arms()):
        what = "with one gallery for all arms" if service.fresh else "with --gallery fresh"
        otherwise = (f"the same {what}", _forecast(experiment, other, prepared))
    return as_rows(planned, cloaking, otherwise)


def _forecast(experiment: Experiment, service: Service, prepared: Prepared) -> Forecast:
    calls = list(expand(service, "plan", experiment.arms(), prepared.split))
    return forecast(service.capabilities, services.tier_of(experiment), calls)


def _service(experiment: Experiment) -> Service:
    return Service(
        experiment.provider,
        services.capabilities_of(experiment),
        experiment.verify_photos,
        experiment.has_fresh_galleries,
    )


def start(
    experiment: Experiment,
    runs: Path,
    run_id: str,
    agree: Callable[[Experiment, Prepared], Mapping[str, Any]],
    progress: Progress,
    lock: Path | None = None,
) -> RunFolder:
    """Begin a run, once its input is known to be sound, and work on it to the end.

    `agree` returns the consent to what will be sent, or raises UserError. `lock` is what the run is
    held to.
    """
    folder = new_run(runs, run_id)
    locked = preregistration.read(lock) if lock else None
    experiment, prepared = checks.before_run(experiment, progress)
    if locked and not preregistration.is_kept(locked, experiment, prepared):
        progress.say("this is not the experiment of the lock: the report will say what differs")
    consent = agree(experiment, prepared)
    private_folder(folder.path)
    with folder.locked(), records.ending(folder):
        preparation.save(folder, prepared)
        if lock:
            preregistration.keep(lock, folder)
        experiment = _with_own_prices(experiment, folder)
        manifest.Manifest(folder).update(
            consent=consent, photo_set_generated=prepared.photo_set.generated
        )
        write_whole(folder.experiment, to_toml(experiment))
        _work(experiment, folder, prepared, progress)
    return folder


def rerun(
    old: RunFolder,
    runs: Path,
    run_id: str,
    agree: Callable[[Experiment, Prepared], Mapping[str, Any]],
    progress: Progress,
    **given: Any,
) -> RunFolder:
    """Do a run again today: the same photos, split, cloaked bytes, arms and settings.

    `given` are the settings of `rerunning.CHANGEABLE`. Raises UserError, before anything is sent,
    naming a photo or cloaked file that is missing or has changed.
    """
    folder = new_run(runs, run_id)
    experiment, prepared = rerunning.checked(old, given)
    services.check_keys(experiment)
    consent = agree(experiment, prepared)
    private_folder(folder.path)
    with folder.locked(), records.ending(folder):
        rerunning.carry_over(old, folder)
        experiment = _with_own_prices(experiment, folder)
        manifest.Manifest(folder).update(**rerunning.notes(old), consent=consent)
        write_whole(folder.experiment, to_toml(experiment))
        _work(experiment, folder, prepared, progress)
    return folder


def _with_own_prices(experiment: Experiment, folder: RunFolder) -> Experiment:
    """Keep the user's price table in the run folder, so that the run can be resumed anywhere."""
    if experiment.prices is None:
        return experiment
    write_whole(folder.prices, experiment.prices.read_text(encoding="utf-8"))
    return experiment.model_copy(update={"prices": folder.prices.resolve()})


def resume(folder: RunFolder, progress: Progress, **budget: float | None) -> RunFolder:
    """Go on with a run; nothing that is done is done again. `budget` replaces its limits."""
    given = {key: value for key, value in budget.items() if value is not None}
    experiment = resolve(None, read_toml(folder.experiment) | given)
    with folder.locked(), records.ending(folder):
        generated = bool(manifest.read(folder).get("photo_set_generated"))
        prepared = preparation.restore(folder, experiment, generated=generated)
        _work(experiment, folder, prepared, progress)
    return folder


def _work(
    experiment: Experiment, folder: RunFolder, prepared: Prepared, progress: Progress
) -> None:
    records.describe(experiment, folder, prepared)
    files = cloaks.cloak_all(experiment, folder, prepared, progress)
    embedding_map.write(experiment, folder, prepared, progress)
    with services.opened(experiment, folder) as provider:
        transforms = {arm.name: arm.transforms for arm in experiment.arms()}
        face_sides = preparation.face_sides(experiment.device)
        uploads = Uploads(prepared.photo_set, files, face_sides, transforms)
        _call(experiment, folder, prepared, uploads, provider, progress)
        if experiment.purge_after:
            purge.check(purge.purge_galleries(experiment, folder, provider, progress))
    progress.say("writing the report")
    manifest.Manifest(folder).update(exit_state="done", exit_message="", ended_utc=utc(time.time()))
    import reports

    reports.build(folder.path)


def _call(
    experiment: Experiment,
    folder: RunFolder,
    prepared: Prepared,
    uploads: Uploads,
    provider: Provider,
    progress: Progress,
) -> None:
    """Make every planned call that is not answered yet, then write down what it shows."""
    tier = services.tier_of(experiment)
    capabilities = provider.capabilities
    budget = Budget(experiment.max_calls, experiment.max_cost, tier.usd)
    ledger = Ledger(folder.ledger)
    try:
        if not ledger.planned:
            ledger.add(expand(_service(experiment), folder.id, experiment.arms(), prepared.split))
        ledger.doubt_unanswered()
        stop = Event()
        executor = services.executor(experiment, provider, ledger, budget, stop)
        most = experiment.candidates or capabilities.candidates_max
        question = Question(experiment.threshold, min(most, capabilities.candidates_max))
        fitting = uploads.within(capabilities) if experiment.fit_photos else uploads.unchanged
        sender = Sender(fitting, ledger)
        try:
            _carry_out(Steps(executor, sender, folder.id, question), executor, stop, progress)
        finally:
            records.note_service(folder, provider)
            records.write_down(experiment, folder, prepared, ledger)
    finally:
        ledger.close()


def _carry_out(steps: Steps, executor: Executor, stop: Event, progress: Progress) -> None:
    """Make every open call, phase by phase; those of a phase at once."""
    ledger = executor.ledger
    total = sum(ledger.states().values())
    open_rows = sorted(
        ledger.calls(state=CallState.PLANNED) + ledger.calls(state=CallState.UNKNOWN),
        key=lambda row: (row.call.phase, row.seq),
    )
    least_s = executor.least_s([row.call.operation for row in open_rows])
    floor_s = least_s / max(len(open_rows), 1)
    before = total - len(open_rows)
    with progress.stage("calls made", total, floor_s=floor_s) as advance:
        advance(before)
        pulse = Pulse(executor, advance, before, total, floor_s)
        counting = Lock()

        def work(row: CallRow) -> None:
            steps.carry_out(row)
            with counting:
                pulse.done += 1

        workers = Workers(work, executor.threads, stop)
        for _, phase in itertools.groupby(open_rows, key=lambda row: row.call.phase):
            workers.carry_out(_lanes(executor, list(phase)), pulse.beat)
        pulse.beat()


def _lanes(executor: Executor, rows: list[CallRow]) -> list[list[CallRow]]:
    """Return what may be done at once; one after another what a service does so itself."""
    if not executor.provider.capabilities.serial_by_person:
        return [[row] for row in rows]
    lanes = defaultdict[object, list[CallRow]](list)
    for row in rows:
        whose = (row.call.gallery, row.call.person) if row.call.verb == "enrol" else row.seq
        lanes[whose].append(row)
    return list(lanes.values())

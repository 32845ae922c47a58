"""One run, from photos to report; stopped anywhere, it goes on where it was.

Each stage leaves its result in the run folder and is skipped when that is there already:
photos.jsonl, cloaked/, the ledger's calls, observations, the report.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit import cloaks, manifest, preparation, purge, records, services
from audit.clock import utc
from audit.execution import Budget, Executor
from audit.experiment import Experiment, read_toml, resolve, to_toml
from audit.folders import RunFolder, new_run, private_folder, write_whole
from audit.ledger import CallState, Ledger
from audit.plan import Service, as_rows, check_sizes, expand, forecast
from audit.preparation import Prepared
from audit.probing import Question
from audit.progress import Progress
from audit.sending import Sender
from audit.steps import Steps
from audit.uploads import Uploads
from providers.base import Provider


def plan(experiment: Experiment, progress: Progress) -> list[dict[str, object]]:
    """Return what a run would take, as a table; nothing is sent, no run is begun."""
    experiment, prepared = _checked(experiment, progress)
    calls = list(expand(_service(experiment), "plan", experiment.arms(), prepared.split))
    planned = forecast(services.capabilities_of(experiment), services.tier_of(experiment), calls)
    return as_rows(planned, cloaks.forecast(experiment, prepared))


def _service(experiment: Experiment) -> Service:
    capabilities = services.capabilities_of(experiment)
    return Service(experiment.provider, capabilities, experiment.verify_photos)


def _checked(experiment: Experiment, progress: Progress) -> tuple[Experiment, Prepared]:
    """Check everything that can be known before a run begins."""
    experiment = preparation.with_bundled_people(experiment, progress)
    services.check(experiment)
    _check_cloaks(experiment)
    prepared = preparation.prepare(experiment, progress)
    check_sizes(services.capabilities_of(experiment), prepared.split)
    return experiment, prepared


def start(
    experiment: Experiment,
    runs: Path,
    run_id: str,
    consent: Mapping[str, Any],
    progress: Progress,
) -> RunFolder:
    """Begin a run, once its input is known to be sound, and work on it to the end."""
    folder = new_run(runs, run_id)
    experiment, prepared = _checked(experiment, progress)
    private_folder(folder.path)
    with folder.locked(), records.ending(folder):
        preparation.save(folder, prepared)
        experiment = _with_own_prices(experiment, folder)
        manifest.Manifest(folder).update(
            consent=consent, photo_set_generated=prepared.photo_set.generated
        )
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
    with services.opened(experiment, folder) as provider:
        uploads = Uploads(prepared.photo_set, files, preparation.face_sides(experiment.device))
        _call(experiment, folder, prepared, uploads, provider, progress)
        if experiment.purge_after:
            purge.purge_galleries(experiment, folder, provider, progress)
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
        ledger.add(expand(_service(experiment), folder.id, experiment.arms(), prepared.split))
        ledger.doubt_unanswered()
        executor = services.executor(experiment, provider, ledger, budget)
        most = experiment.candidates or capabilities.candidates_max
        question = Question(experiment.threshold, min(most, capabilities.candidates_max))
        fitting = uploads.within(capabilities) if experiment.fit_photos else uploads.unchanged
        sender = Sender(fitting, ledger)
        try:
            _carry_out(Steps(executor, sender, folder.id, question), executor, progress)
        finally:
            records.note_service(folder, provider)
            records.write_down(experiment, folder, prepared, ledger)
    finally:
        ledger.close()


def _carry_out(steps: Steps, executor: Executor, progress: Progress) -> None:
    rows = executor.ledger.calls()
    open_rows = [row for row in rows if row.state in (CallState.PLANNED, CallState.UNKNOWN)]
    least_s = executor.least_s([row.call.operation for row in open_rows])
    done = len(rows) - len(open_rows)
    floor_s = least_s / max(len(open_rows), 1)
    with progress.stage("calls made", len(rows), floor_s=floor_s) as advance:
        advance(done)
        for number, row in enumerate(open_rows, start=done + 1):
            steps.carry_out(row)
            advance(number)


def _check_cloaks(experiment: Experiment) -> None:
    """Raise UserError for an unknown system, level or device, or weights not installed.

    Reading a large photo set takes minutes: what can be known before is said before.
    """
    from cloaker import levels

    for arm in experiment.arms():
        if not arm.is_control:
            levels.resolve(arm.system, arm.level)
    names = preparation.networks_of(experiment)
    if names:
        from cloaker.device import resolve

        resolve(experiment.device)
        records.weights(names)

"""A study from its first run to its page; stopped anywhere, it goes on where it was."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from audit import manifest, preparation, services, study_training
from audit.errors import UserError
from audit.experiment import Experiment
from audit.folders import RunFolder, new_id, new_run
from audit.plan import CloakingForecast, Forecast
from audit.progress import Progress, duration
from audit.study import Study, StudyRun
from audit.study_folder import StudyFolder, folder_of
from audit.tracking import Request

Start = Callable[[Experiment, str], object]
Resume = Callable[[RunFolder, Mapping[str, float]], object]
Forecasts = Callable[[Experiment, Progress, dict[str, float]], tuple[Forecast, CloakingForecast]]


def begin(study: Study, runs: Path, study_id: str | None, progress: Progress) -> StudyFolder:
    """Train a study's networks and write it down, so that its runs can go on; return its folder.

    Raises UserError if another study has the id, or if it can't be run at the service.
    """
    _check(study)
    ready = [_ready(run, study.learners, progress) for run in study.runs]
    study = replace(study, runs=tuple(run for run, _ in ready))
    one = study.runs[0].experiment if study.is_one_experiment else None
    folder = folder_of(runs, study_id or (new_id(one.provider) if one else study.default_id))
    if one:
        services.check_keys(one)
        new_run(runs, folder.id)
    folder.refuse_other(study)
    for request in [request for _, requests in ready for request in requests]:
        study_training.train(request, progress)
    folder.write(study)
    return folder


def _ready(run: StudyRun, learners: int, progress: Progress) -> tuple[StudyRun, list[Request]]:
    """Return a run as it will be, with `learners` people in no gallery, and what is trained for it."""
    ready = experiment = _with_people(run.experiment, learners, progress)
    requests = []
    for key, training in run.trains.items():
        requests.append(study_training.request(experiment, key, training, progress))
        ready = study_training.with_trained(ready, key, requests[-1].name)
    return replace(run, experiment=ready), requests


def _with_people(experiment: Experiment, learners: int, progress: Progress) -> Experiment:
    experiment = preparation.with_bundled_people(experiment, progress)
    return study_training.with_people_left(experiment, learners, progress)


def _check(study: Study) -> None:
    """Raise UserError for a service, tier or prices that there aren't, before networks are trained.

    Also for a study that compares trackers, at a service whose network is its own.
    """
    for run in study.runs:
        services.check(run.experiment)
    for run in study.runs if not study.is_one_experiment else ():
        if not services.recognises_here(run.experiment):
            raise UserError(
                f"{study.name} chooses the tracker's network, and nobody here can choose that of "
                f"{services.capabilities_of(run.experiment).service}.",
                expected="--provider local, or a service's emulator: --emulate",
                remedy="`audit run` at the service has any one of its arms",
            )


def carry_out(
    folder: StudyFolder,
    start: Start,
    resume: Resume,
    progress: Progress,
    budget: Mapping[str, float | None] | None = None,
) -> Path:
    """Do what is left of a study's runs, then write its page and return where that is.

    `start` and `resume` do a run to its end; `budget` replaces the limits, of each run.
    """
    limits = {key: value for key, value in (budget or {}).items() if value is not None}
    names = folder.names()
    for number, name in enumerate(names, start=1):
        run = folder.run(name)
        if name:
            progress.say(f"run {number} of {len(names)}: {name}")
        if not run.experiment.exists():
            start(folder.experiment(name).model_copy(update=limits), run.id)
        elif not _is_done(run):
            resume(run, limits)
    return write_page(folder)


def _is_done(run: RunFolder) -> bool:
    return manifest.read(run).get("exit_state") == "done"


def write_page(folder: StudyFolder) -> Path:
    """Write the page of a study whose runs are done, and return where it is."""
    import reports

    return reports.study(folder.path, {name: folder.run(name).path for name in folder.names()})


def plan(study: Study, forecasts: Forecasts, progress: Progress) -> list[dict[str, object]]:
    """Return what every run of a study would take, and their sum; nothing is begun.

    What training its networks takes isn't counted.
    """
    _check(study)
    step_s: dict[str, float] = {}
    experiments = [_with_people(run.experiment, study.learners, progress) for run in study.runs]
    taken = [_taken(*forecasts(experiment, progress, step_s)) for experiment in experiments]
    if study.learners:
        progress.say("not counted: the training of the study's networks, and the cloaks for it")
    total = [sum(column) for column in zip(*taken, strict=True)]
    named = [*(run.name for run in study.runs), "all runs, if no cloak is shared"]
    return [_row(name, *numbers) for name, numbers in zip(named, [*taken, total], strict=True)]


def _taken(calls: Forecast, cloaking: CloakingForecast) -> tuple[float, float, float, float, float]:
    return calls.total, calls.duration_s, calls.cost_usd, cloaking.steps, cloaking.duration_s


def _row(
    name: str, calls: float, calls_s: float, usd: float, steps: float, cloaking_s: float
) -> dict[str, object]:
    return {
        "run": name,
        "calls": int(calls),
        "at the limit": duration(calls_s),
        "price_usd": f"{usd:.2f}",
        "steps of cloaking": int(steps),
        "cloaking": duration(cloaking_s),
    }

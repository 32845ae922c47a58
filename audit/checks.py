"""What is known to be sound before a run begins, when nothing is made yet and nothing sent.

Reading a large photo set takes minutes: what can be known before it is said before it.
"""

from audit import cloak_jobs, preparation, records, services
from audit.errors import UserError
from audit.experiment import Experiment
from audit.plan import check_sizes
from audit.preparation import Prepared
from audit.progress import Progress
from audit.types import Arm, Game


def before_run(experiment: Experiment, progress: Progress) -> tuple[Experiment, Prepared]:
    """Return the experiment with its photos' place, and the photos, read and split.

    Raises UserError for a service, cloak or photos that there aren't, or that don't fit.
    """
    services.check(experiment)
    _check_cloaks(experiment)
    experiment = preparation.with_bundled_people(experiment, progress)
    prepared = preparation.prepare(experiment, progress)
    check_sizes(services.capabilities_of(experiment), prepared.split)
    cloak_jobs.check_sybils(experiment, prepared)
    return experiment, prepared


def _check_cloaks(experiment: Experiment) -> None:
    """Raise UserError for an unknown system, level or device, or weights not installed."""
    from cloaker import levels

    for arm in experiment.arms():
        if not arm.is_control:
            for system, level, settings in cloak_jobs.systems_of(experiment, arm):
                levels.resolve(system, level, settings)
            _check_arm(arm, levels.row_of(arm.system).photos)
    names = preparation.networks_of(experiment)
    if names:
        from cloaker.device import resolve

        resolve(experiment.device)
        records.weights(names)


def _check_arm(arm: Arm, whose: str) -> None:
    """Raise UserError for a system that can't be an arm of this game."""
    if whose == "sybil":
        raise UserError(
            f"{arm.system} cloaks the photos of an identity made up beside the protected person.",
            expected="a system that cloaks the person's own photos, and --sybils 1 beside it",
            remedy="`audit cloak SYBIL --towards CLOAKED` makes the photos alone",
        )
    if whose == "others" and arm.game is Game.EVADE:
        raise UserError(
            f"{arm.system} changes what is enrolled, and --game evade enrols clean photos.",
            expected="--game poison",
        )

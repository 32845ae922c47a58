"""Opening the service that an experiment asks: the real one, or a local emulator of it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from audit.clock import WallClock
from audit.execution import Budget, Executor
from audit.experiment import Experiment
from audit.folders import RunFolder, private_folder, state_folder
from audit.ledger import Ledger
from audit.pacing import Pacing
from audit.plan import find_tier
from audit.settings import AzureSettings
from providers.base import Capabilities, Provider

if TYPE_CHECKING:
    from audit.types import Recogniser

_EMULATOR_KEY = "emulator"


def capabilities_of(experiment: Experiment) -> Capabilities:
    """Return the service's capabilities without touching its SDK."""
    from providers import registry

    return registry.capabilities(experiment.service)


def tier_of(experiment: Experiment) -> str | None:
    """Return the tier asked for; an emulator, which has no limits, has a tier of its own."""
    return experiment.tier or ("emulator" if experiment.is_emulated else None)


def check_keys(experiment: Experiment) -> None:
    """Raise UserError if keys are missing: better now than after an hour of cloaking."""
    if not experiment.is_emulated:
        AzureSettings().required(experiment.endpoint)


@contextmanager
def opened(experiment: Experiment, folder: RunFolder) -> Iterator[Provider]:
    """Yield the provider; an emulator keeps its state in the run folder and ends with this."""
    from providers import registry

    with _address(experiment, folder) as (endpoint, key):
        provider = registry.open_provider(
            experiment.service, endpoint=endpoint, key=key, api_version=experiment.api_version
        )
        with closing(provider):
            yield provider


def executor(
    experiment: Experiment, provider: Provider, ledger: Ledger, budget: Budget | None = None
) -> Executor:
    """Return what makes calls to an open provider, at the pace of the experiment's tier."""
    clock = WallClock()
    tier = find_tier(provider.capabilities, tier_of(experiment))
    pacing = Pacing(state_folder() / "pacing.db", provider.account, tier.rates, clock)
    return Executor(provider, ledger, pacing, budget or Budget(), clock)


@contextmanager
def _address(experiment: Experiment, folder: RunFolder) -> Iterator[tuple[str, str]]:
    """Yield endpoint and key."""
    if experiment.is_emulated:
        with _emulator(experiment, folder) as endpoint:
            yield endpoint, _EMULATOR_KEY
    else:
        endpoint, key = AzureSettings().required(experiment.endpoint)
        yield endpoint, key.get_secret_value()


@contextmanager
def _emulator(experiment: Experiment, folder: RunFolder) -> Iterator[str]:
    from providers.emulators import server
    from providers.emulators.calibration import calibration
    from providers.emulators.options import Matching, Options

    with server.running(
        experiment.service,
        recogniser(experiment.emulator_network, experiment.device),
        calibration(experiment.emulator_network),
        options=Options(
            state=private_folder(folder.emulator_state),
            matching=Matching(experiment.emulator_matching),
        ),
    ) as endpoint:
        yield endpoint


def recogniser(network: str, device: str) -> "Recogniser":
    """Return a recogniser of this machine: MTCNN and the named embedding network."""
    from cloaker.device import resolve
    from cloaker.networks import registry
    from cloaker.recogniser import LocalRecogniser

    where = resolve(device)
    return LocalRecogniser(registry.load(network, where), where)

"""Opening the service that an experiment asks: the real one, or a local emulator of it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

from audit import prices, settings, stores
from audit.clock import Clock, WallClock
from audit.errors import UserError
from audit.execution import Budget, Executor
from audit.experiment import Experiment
from audit.folders import RunFolder, private_folder, state_folder
from audit.ledger import Ledger
from audit.pacing import Pacing
from audit.plan import find_tier, threads_for
from audit.trained import calibration_of
from providers.base import Capabilities, Provider, Tier

if TYPE_CHECKING:
    from audit.types import Recogniser
    from providers.emulators.options import Matching


def capabilities_of(experiment: Experiment) -> Capabilities:
    """Return the service's capabilities without touching its SDK, with the user's own prices.

    Raises UserError for a provider, kind of gallery or price table that can't be used.
    """
    from providers import registry

    found = registry.capabilities(experiment.service, experiment.gallery_kind)
    return prices.override(found, experiment.prices) if experiment.prices else found


def recognises_here(experiment: Experiment) -> bool:
    """Tell whether a recogniser on this machine answers: the emulator's, or the local provider's."""
    return experiment.is_emulated or capabilities_of(experiment).on_device


def leaves_this_machine(experiment: Experiment) -> bool:
    """Tell whether photos are sent to somebody else."""
    return not recognises_here(experiment)


def tier_of(experiment: Experiment) -> Tier:
    """Return the tier asked for; raises UserError for an unknown one.

    An emulator, which has no limits, has a tier of its own. Where tiers are regions, the region
    chooses.
    """
    capabilities = capabilities_of(experiment)
    name = experiment.tier
    if name is None and experiment.is_emulated:
        name = "emulator"
    elif name is None and (region := _region(capabilities, experiment)) in capabilities.tiers:
        name = region
    return find_tier(capabilities, name)


def _region(capabilities: Capabilities, experiment: Experiment) -> str | None:
    if "region" not in capabilities.optional_settings:
        return None
    found = settings.find(capabilities, _given(experiment)).get("region")
    return found.get_secret_value() if found else None


def check(experiment: Experiment) -> None:
    """Raise UserError for a service, emulator, tier, price table or matching that there isn't."""
    if experiment.is_emulated:
        from providers.emulators import server

        server.require_known(experiment.service)
        matching(experiment.matching)
    tier_of(experiment)


def check_keys(experiment: Experiment) -> None:
    """Raise UserError if keys are missing: better now than after an hour of cloaking."""
    from providers import registry

    if leaves_this_machine(experiment):
        arguments = _keys(experiment) | _options(experiment)
        registry.open_provider(experiment.service, **arguments).close()


@contextmanager
def opened(experiment: Experiment, folder: RunFolder) -> Iterator[Provider]:
    """Yield the provider; an emulator keeps its state in the run folder and ends with this."""
    from providers import registry

    with _arguments(experiment, folder) as arguments:
        provider = registry.open_provider(experiment.service, **arguments, **_options(experiment))
        with closing(provider):
            yield provider


def executor(
    experiment: Experiment,
    provider: Provider,
    ledger: Ledger,
    budget: Budget | None = None,
    stop: Event | None = None,
) -> Executor:
    """Return what makes calls to an open provider, at the pace of the experiment's tier.

    `stop` ends its waits.
    """
    clock = WallClock(stop)
    tier = tier_of(experiment)
    pacing = pacing_of(provider, tier, clock)
    threads = threads_for(tier, provider.capabilities)
    return Executor(provider, ledger, pacing, budget or Budget(), clock, threads)


def pacing_of(provider: Provider, tier: Tier, clock: Clock) -> Pacing:
    """Return the pace of a provider's account, which all processes of the user share."""
    return Pacing(state_folder() / "pacing.db", provider.account, tier, clock)


@contextmanager
def _arguments(experiment: Experiment, folder: RunFolder) -> Iterator[dict[str, Any]]:
    """Yield what the adapter is made with, but for the experiment's own options."""
    capabilities = capabilities_of(experiment)
    if experiment.is_emulated:
        with _emulator(experiment, folder) as endpoint:
            yield {"endpoint": endpoint, **capabilities.emulator_settings}
    elif capabilities.on_device:
        yield {
            "recogniser": recogniser(experiment.recogniser, experiment.device, folder.id),
            "score": calibration_of(experiment.recogniser).score,
            "folder": private_folder(folder.local_state),
        }
    else:
        yield _keys(experiment)


def _keys(experiment: Experiment) -> dict[str, str]:
    found = settings.find(capabilities_of(experiment), _given(experiment))
    return {name: secret.get_secret_value() for name, secret in found.items()}


def _given(experiment: Experiment) -> dict[str, str]:
    given = {"endpoint": experiment.endpoint, "region": experiment.region}
    return {name: value for name, value in given.items() if value}


def _options(experiment: Experiment) -> dict[str, Any]:
    """Return the experiment's keys that the adapter takes."""
    options = capabilities_of(experiment).options
    values = {name: getattr(experiment, name) for name in options}
    return values | ({"gallery": experiment.gallery_kind} if "gallery" in values else {})


@contextmanager
def _emulator(experiment: Experiment, folder: RunFolder) -> Iterator[str]:
    from providers.emulators import server
    from providers.emulators.options import Options

    with server.running(
        experiment.service,
        recogniser(experiment.recogniser, experiment.device, folder.id),
        calibration_of(experiment.recogniser),
        options=Options(
            state=private_folder(folder.emulator_state), matching=matching(experiment.matching)
        ),
    ) as endpoint:
        yield endpoint


def matching(name: str) -> "Matching":
    """Return how an emulator matches; raises UserError for a name that it does not know."""
    from providers.emulators.options import Matching

    if name not in list(Matching):
        raise UserError(f"an emulator can't match by {name!r}.", expected=" or ".join(Matching))
    return Matching(name)


def recogniser(network: str, device: str, run_id: str = "") -> "Recogniser":
    """Return a recogniser of this machine, for a run: MTCNN and the named embedding network."""
    from cloaker.device import resolve
    from cloaker.networks import registry
    from cloaker.recogniser import LocalRecogniser

    where = resolve(device)
    return LocalRecogniser(registry.load(network, where), where, stores.embeddings(run_id))

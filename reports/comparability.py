"""May runs be compared? Each way in which they differ in more than time, service or system."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from reports.compared_run import ComparedRun

_NAMED_MAX = 3
_ADAPTER_SETTINGS = ("quality_filter", "verify_photos", "fit_photos", "candidates")
_ARM = ("game", "level", "targets", "cloaked_fraction", "transforms", "sybils", "settings")
_SERVICE_SETTINGS = ("api_version", "region", "matching")


class Difference(NamedTuple):
    """One way in which a run differs from the one that it should repeat."""

    run: str
    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.run}: {self.what}: {self.how}"


def differences(runs: Sequence[ComparedRun]) -> tuple[Difference, ...]:
    """Return every difference that forbids a comparison, each run against the first of its kind.

    All runs share photos, split and thresholds; runs of one service also gallery and settings;
    and runs that have the same cloaking system, its arms and the cloaked bytes.
    """
    return tuple(
        dict.fromkeys(
            Difference(run.id, what, how)
            for number, run in enumerate(runs)
            for what, how in _from_earlier(run, runs[:number])
        )
    )


def _from_earlier(run: ComparedRun, earlier: Sequence[ComparedRun]) -> Iterator[tuple[str, str]]:
    if not earlier:
        return
    yield from _photos(run, earlier[0])
    yield from _thresholds(run, earlier[0])
    same_service = [other for other in earlier if _asked(other) == _asked(run)]
    if same_service:
        yield from _settings(run, same_service[0])
    for system in _systems(run):
        with_system = [other for other in earlier if system in _systems(other)]
        if with_system:
            yield from _arms(run, with_system[0], system)
            yield from _bytes(run, with_system[0], system)


def _asked(run: ComparedRun) -> tuple[str, bool]:
    return run.manifest.service.provider, run.manifest.service.emulated


def _systems(run: ComparedRun) -> tuple[str, ...]:
    return tuple(dict.fromkeys(arm.system for arm in run.manifest.cloaked_arms))


def _photos(run: ComparedRun, first: ComparedRun) -> Iterator[tuple[str, str]]:
    lacks = [use.path for key, use in first.photos.items() if key not in run.photos]
    more = [use.path for key, use in run.photos.items() if key not in first.photos]
    if lacks or more:
        parts = [f"lacks {_some(lacks)}"] * bool(lacks) + [f"also has {_some(more)}"] * bool(more)
        yield "photo set", f"{' and '.join(parts)}, compared with {first.id}"
    moved = [
        f"{use.path} is {use.role}, in {first.id} {first.photos[key].role}"
        for key, use in run.photos.items()
        if key in first.photos and use.role != first.photos[key].role
    ]
    if moved:
        yield "split", _some(moved)


def _thresholds(run: ComparedRun, first: ComparedRun) -> Iterator[tuple[str, str]]:
    if run.thresholds and first.thresholds and run.thresholds != first.thresholds:
        yield "threshold", _instead(run.thresholds, first.thresholds, first)


def _settings(run: ComparedRun, first: ComparedRun) -> Iterator[tuple[str, str]]:
    service, before = run.manifest.service, first.manifest.service
    if (service.gallery or "") != (before.gallery or ""):  # older folders say nothing of the usual
        yield "gallery kind", _instead(service.gallery, before.gallery, first)
    for name in _SERVICE_SETTINGS:
        yield from _setting(name, vars(service), vars(before), first)
    for name in _ADAPTER_SETTINGS:
        yield from _setting(name, run.settings, first.settings, first)


def _setting(
    name: str, now: Mapping[str, Any], before: Mapping[str, Any], first: ComparedRun
) -> Iterator[tuple[str, str]]:
    """Older folders lack newer settings: what is not written down is not held against a run."""
    value, other = now.get(name), before.get(name)
    if value is not None and other is not None and value != other:
        yield f"setting {name}", _instead(value, other, first)


def _arms(run: ComparedRun, first: ComparedRun, system: str) -> Iterator[tuple[str, str]]:
    own = {name: arm for name, arm in run.arms.items() if arm.system == system}
    others = {name: arm for name, arm in first.arms.items() if arm.system == system}
    lacks, more = sorted(others.keys() - own), sorted(own.keys() - others)
    if lacks or more:
        parts = [f"lacks {_some(lacks)}"] * bool(lacks) + [f"also has {_some(more)}"] * bool(more)
        yield "arms", f"{' and '.join(parts)}, compared with {first.id}"
    for name in sorted(own.keys() & others.keys()):
        for key in _ARM:
            value, before = getattr(own[name], key), getattr(others[name], key)
            if value != before:
                yield f"arm {name}", f"{key} is {_instead(value, before, first)}"


def _bytes(run: ComparedRun, first: ComparedRun, system: str) -> Iterator[tuple[str, str]]:
    for key in sorted(run.cloaked.keys() & first.cloaked.keys()):
        if key[0] == system:
            own, others = run.cloaked[key], first.cloaked[key]
            changed = [source for source in own if own[source] != others.get(source)]
            changed += [source for source in others if source not in own]
            if changed:
                names = sorted(_name(run, first, source) for source in changed)
                share = f"{len(changed)} of {len(own.keys() | others.keys())}"
                how = f"{share} files of {'-'.join(key)} are others than in {first.id}"
                yield "cloaked bytes", f"{how}: {_some(names)}"


def _name(run: ComparedRun, first: ComparedRun, source: str) -> str:
    uses = [*run.photos.items(), *first.photos.items()]
    return next((use.path for (_, sha256), use in uses if sha256 == source), source[:12])


def _instead(value: object, before: object, first: ComparedRun) -> str:
    return f"{_plain(value)} instead of {_plain(before)} in {first.id}"


def _plain(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(f"{item:g}" for item in sorted(value)) or "none"
    return "the usual" if value in {None, ""} else str(value)


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {rest} more" if rest > 0 else "")

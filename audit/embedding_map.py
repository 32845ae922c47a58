"""How this machine's networks see a run's photos, before and after cloaking, as maps.

Only places on maps of two dimensions leave this module: the embeddings themselves are biometric
data, and no report needs them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit import manifest, preparation, results, stores
from audit.experiment import Experiment
from audit.folders import RunFolder, read_jsonl, write_whole
from audit.preparation import Prepared
from audit.progress import Progress
from audit.types import Game, Photo, Role

if TYPE_CHECKING:
    from cloaker.survey import Surveyor

COLUMNS = ("network", "projection", "photo_sha256", "person", "role", "cloak", "x", "y")
_MOST = {"own": 40, Role.PROBE: 40, Role.DECOY: 80}
_CLOAKS_MAX = 6
_TSNE_LEAST = 12
_Vectors = NDArray[np.float64]


class Shown(NamedTuple):
    """A photo on the maps; `cloak` is the folder or name of what cloaked it, "" as it was."""

    photo: Photo
    source_sha256: str
    role: str
    cloak: str


def write(
    experiment: Experiment, folder: RunFolder, prepared: Prepared, progress: Progress
) -> None:
    """Write embedding_map.csv, unless it is there, nothing is cloaked or the run is a rerun.

    Each network has a PCA and a t-SNE of some of the run's photos: of the protected people's before
    and after cloaking, of probes and of decoys. Where more people or photos are, they are spread
    evenly over them. The seed of t-SNE is the experiment's.
    """
    if folder.embedding_map.exists() or not folder.cloaks.exists():
        return
    if manifest.read(folder).get("rerun_of"):
        return  # what the old run has was copied; the networks needn't be here any more
    shown = list(chosen(experiment, folder, prepared))
    names = list(dict.fromkeys(preparation.networks_of(experiment)))
    rows: list[dict[str, object]] = []
    with progress.stage("networks that map the photos", len(names)) as advance:
        for done, name in enumerate(names, start=1):
            surveyor = _surveyor(name, folder, experiment.device)
            rows += _rows(name, shown, surveyor, experiment.seed)
            advance(done)
    write_whole(folder.embedding_map, results.table(COLUMNS, rows))


def chosen(experiment: Experiment, folder: RunFolder, prepared: Prepared) -> Iterator[Shown]:
    """Yield the photos to show, the same whenever a run is resumed."""
    split = prepared.split
    is_poison = experiment.game is Game.POISON
    own = _spread(split.train if is_poison else split.probe, _MOST["own"])
    others = {Role.DECOY: split.decoy, **({Role.PROBE: split.probe} if is_poison else {})}
    role = Role.TRAIN if is_poison else Role.PROBE
    groups = {role: own} | {name: _spread(some, _MOST[name]) for name, some in others.items()}
    for name, photos in groups.items():
        yield from (Shown(photo, photo.sha256, name, "") for photo in photos)
    roles = {photo.sha256: name for name, photos in groups.items() for photo in photos}
    yield from _cloaked(folder, roles)


def _cloaked(folder: RunFolder, roles: Mapping[str, str]) -> Iterator[Shown]:
    """Yield the cloaked files of photos that are shown, of the first cloaks."""
    cloaks: set[str] = set()
    for row in read_jsonl(folder.cloaks):
        name = str(PurePosixPath(row["file"]).parent)
        cloak = f"{row['system']}-{row['level']}" if name == "." else name
        if row["source_sha256"] in roles and (cloak in cloaks or len(cloaks) < _CLOAKS_MAX):
            cloaks.add(cloak)
            file = folder.cloaked / row["file"]
            photo = Photo(row["cloaked_sha256"], row["person"], file, 0, 0)
            yield Shown(photo, row["source_sha256"], roles[row["source_sha256"]], cloak)


def _spread(people: Mapping[str, Sequence[Photo]], most: int) -> list[Photo]:
    """Return at most so many photos, everybody's first before anybody's second."""
    turns = [
        (turn, place, photo)
        for place, photos in enumerate(people.values())
        for turn, photo in enumerate(photos)
    ]
    return [photo for _, _, photo in sorted(turns, key=lambda it: it[:2])[:most]]


def _surveyor(network: str, folder: RunFolder, device: str) -> "Surveyor":
    from cloaker.device import resolve
    from cloaker.networks import registry
    from cloaker.survey import Surveyor
    from datasets.photos import pixels

    loaded = registry.load(network, resolve(device))
    faces = preparation.known_faces(device)
    return Surveyor(loaded, faces, pixels, stores.embeddings(folder.id))


def _rows(
    network: str, shown: Sequence[Shown], surveyor: "Surveyor", seed: int
) -> Iterator[dict[str, object]]:
    seen = surveyor.units([it.photo for it in shown])
    there = [it for it in shown if it.photo.sha256 in seen]
    vectors = np.array([seen[it.photo.sha256] for it in there], dtype=np.float64)
    for projection, places in projections(vectors, seed).items():
        for it, (x, y) in zip(there, places.tolist(), strict=True):
            yield {
                "network": network,
                "projection": projection,
                "photo_sha256": it.source_sha256,
                "person": it.photo.person,
                "role": it.role,
                "cloak": it.cloak,
                "x": f"{x:.4g}",
                "y": f"{y:.4g}",
            }


def projections(vectors: _Vectors, seed: int) -> Mapping[str, _Vectors]:
    """Return maps of unit embeddings, shape (photos, 2): PCA, and t-SNE if there are enough.

    t-SNE (van der Maaten and Hinton, 2008) begins at the PCA; distances between far clusters mean
    nothing in it. No map of fewer than three photos.
    """
    if len(vectors) < 3:
        return {}
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    found = {"pca": PCA(2, svd_solver="full").fit_transform(vectors)}
    if len(vectors) >= _TSNE_LEAST:
        perplexity = min(30.0, (len(vectors) - 1) / 3)
        found["tsne"] = TSNE(
            2, init="pca", perplexity=perplexity, max_iter=500, random_state=seed
        ).fit_transform(vectors)
    return found

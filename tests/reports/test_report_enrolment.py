import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import reports
from reports import uploads
from reports.layout import NOT_APPLICABLE

pytestmark = pytest.mark.usefixtures("without_figures")

HIGH = "fawkes-0.3-high"
ANSWERS = {"control": [{"score": 0.9}], HIGH: [{"score": 0.8}]}


def enrolled(arm: str, number: int, note: str = "") -> list[str]:
    return [arm, "Ada", f"{number:064x}", "enrolled", "", "", note]


def lost(arm: str, number: int, outcome: str, code: str, reason: str) -> list[str]:
    return [arm, "Bo & <Cy>", f"{number:064x}", outcome, code, reason, ""]


def page_of(run: Path) -> str:
    text = reports.build(run).read_text(encoding="utf-8")
    return re.sub(r">\s+<", "><", text)


def row(*cells: str) -> str:
    head, *others = cells
    return f'<tr><th scope="row">{head}</th>' + "".join(f"<td>{it}</td>" for it in others)


SOME_LOST = [
    enrolled("control", 1),
    lost("control", 2, "refused", "LOW_SHARPNESS", ""),
    lost(HIGH, 1, "no_face", "NoFace", "No face <was> found."),
    lost(HIGH, 2, "refused", "InvalidImage", "Too dark."),
    lost(HIGH, 3, "refused", "InvalidImage", "Too dark."),
    lost(HIGH, 4, "open", "", ""),
]


def test_photos_not_enrolled_are_counted_by_arm_and_the_services_reason(
    make_run: Callable[..., Path],
) -> None:
    enrolment = reports.load(make_run(ANSWERS, enrolment=SOME_LOST)).enrolment
    assert uploads.not_enrolled(enrolment).to_numpy().tolist() == [
        ["control", "LOW_SHARPNESS", 1],
        [HIGH, "Too dark.", 2],
        [HIGH, "No face <was> found.", 1],
        [HIGH, "no answer yet", 1],
    ]


def test_each_refused_photo_is_listed_in_a_closed_fold(make_run: Callable[..., Path]) -> None:
    page = page_of(make_run(ANSWERS, enrolment=SOME_LOST))
    (fold,) = re.findall(r"<details>(.*?)</details>", page, flags=re.DOTALL)
    assert fold.startswith("<summary>Each photo that was rejected (4)</summary>")
    shown = ("Bo &amp; &lt;Cy&gt;", "NoFace", "No face &lt;was&gt; found.")
    assert row(HIGH, f"{1:064x}"[:12], *shown) in fold
    assert row("control", f"{2:064x}"[:12], shown[0], "LOW_SHARPNESS", NOT_APPLICABLE) in fold
    assert fold.count("<tr>") == 1 + 4


def test_notes_are_counted_and_listed(make_run: Callable[..., Path]) -> None:
    note = "1 more face not indexed: EXCEEDS_MAX_FACES"
    page = page_of(make_run(ANSWERS, enrolment=[enrolled("control", n, note) for n in range(3)]))
    assert f'{row("control", note)}<td class="number">3</td>' in page
    assert "<summary>Each photo with a note (3)</summary>" in page
    assert "Every photo sent for enrolment was enrolled." in page


def test_a_long_list_says_what_it_leaves_out(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.layout.LISTED_MAX", 2)
    page = page_of(make_run(ANSWERS, enrolment=SOME_LOST))
    assert "And 2 more rows in the folder tables." in page
    assert "Each photo that was rejected (4)" in page


IN_TWO_ARMS = (
    "3 photos were changed to fit Face++'s limits in 5 uploads: 4 resized and encoded as PNG, "
    "1 encoded as PNG."
)
CHANGE = "resized from 250x250 to 342x342, encoded as PNG"


def changed(arm: str, number: int, change: str) -> list[str]:
    return [arm, f"{number:064x}", "f" * 64, "72500", change]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], ""),
        (
            [changed("control", 1, "encoded as JPEG of quality 95")],
            "1 photo was changed to fit Face++'s limits: encoded as JPEG of quality 95.",
        ),
        (
            [changed("control", n, CHANGE.replace("342", f"34{n}")) for n in range(3)],
            "3 photos were changed to fit Face++'s limits: resized and encoded as PNG.",
        ),
        (
            [changed(arm, n, CHANGE) for arm in ANSWERS for n in (1, 2)]
            + [changed(HIGH, 3, "encoded as PNG")],
            IN_TWO_ARMS,
        ),
    ],
)
def test_changes_to_photos_are_said_in_one_line(
    make_run: Callable[..., Path], rows: Sequence[Sequence[str]], sentence: str
) -> None:
    service = {
        "service": {
            "provider": "facepp",
            "name": "Face++",
            "compares_faces": True,
            "emulated": True,
        }
    }
    data = reports.load(make_run(ANSWERS, changed_uploads=rows, manifest=service))
    assert uploads.changes(data.changed_uploads, data.manifest.service) == sentence


def test_page_and_tables_hold_every_row_alike_twice(make_run: Callable[..., Path]) -> None:
    uploaded = [changed("control", 1, CHANGE)]
    run = make_run(ANSWERS, enrolment=SOME_LOST, changed_uploads=uploaded)
    first = page_of(run)
    assert "resized and encoded as PNG." in first
    assert '<a href="#enrolment">' in first
    for name, rows in (("enrolment", SOME_LOST), ("changed_uploads", uploaded)):
        with (run / "report" / "tables" / f"{name}.csv").open(newline="") as file:
            assert list(csv.reader(file))[1:] == rows
    assert page_of(run) == first

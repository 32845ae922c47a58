from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import reports
from reports import wording

pytestmark = pytest.mark.usefixtures("without_figures")

HIGH = "fawkes-0.3-high"
CONTROL = {"control": [{"score": 0.9}]}
LOCAL = {"provider": "local", "recogniser": "bundled-conv", "matching": "nearest"}


def notices_of(run: Path) -> tuple[str, ...]:
    data = reports.load(run)
    return wording.notices(data.manifest, data.summary, data.observations)


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ({"provider": "azure", "name": "Azure Face"}, "Azure Face"),
        ({"provider": "mock", "name": "Azure Face", "emulated": True}, "the Azure Face emulator"),
        (
            {"provider": "rekognition", "name": "Amazon Rekognition", "gallery": "faces"},
            "Amazon Rekognition",
        ),
        (
            {"provider": "rekognition", "name": "Amazon Rekognition", "gallery": "users"},
            "Amazon Rekognition (user vectors)",
        ),
        (
            {
                "provider": "rekognition",
                "name": "Amazon Rekognition",
                "emulated": True,
                "gallery": "users",
            },
            "the Amazon Rekognition emulator (user vectors)",
        ),
        ({"provider": "facepp", "name": "Face++", "compares_faces": True}, "Face++"),
        (
            {
                "provider": "facepp",
                "name": "Face++",
                "compares_faces": True,
                "emulated": True,
                "gallery": "",
            },
            "the Face++ emulator",
        ),
        (LOCAL, "a recogniser on this machine (bundled-conv, nearest)"),
        ({"provider": "local"}, "a recogniser on this machine"),
        ({"provider": "acme"}, "acme"),
        ({"provider": "acme", "emulated": True}, "the acme emulator"),
    ],
)
def test_who_answered_is_named_in_title_and_finding(
    make_run: Callable[..., Path], service: Mapping[str, Any], name: str
) -> None:
    data = reports.load(make_run(CONTROL, manifest={"service": service}))
    assert wording.title(data.manifest) == f"Cloak audit: no cloak against {name}"
    (sentence,) = wording.sentences(data.summary, data.manifest, 1)
    assert sentence.finding.startswith(f"With nothing cloaked (control), {name} recognised")


def test_a_local_run_says_that_no_service_was_asked(make_run: Callable[..., Path]) -> None:
    (notice,) = notices_of(make_run(CONTROL, manifest={"service": LOCAL}))
    assert notice == (
        "No service was asked: a recogniser on this machine (bundled-conv, nearest) answered. "
        "Where this page speaks of the service, it means this recogniser; these numbers are no "
        "service's."
    )


def test_a_service_itself_needs_no_notice(make_run: Callable[..., Path]) -> None:
    assert (
        notices_of(
            make_run(
                CONTROL,
                manifest={
                    "service": {"provider": "facepp", "name": "Face++", "compares_faces": True}
                },
            )
        )
        == ()
    )


def arm(name: str, level: str, enrolled: int | None, rejected: int | None) -> dict[str, Any]:
    return {"arm": name, "game": "poison", "system": "none", "level": level,
            "enrolled": enrolled, "enrol_rejected": rejected}  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (((98, 2), (98, 2)), ""),
        (((0, 0), (None, None)), ""),
        (((97, 3), (98, 2)), "3 of 100 photos (3.0 %) in control."),
        (((100, 0), (5, 1)), f"1 of 6 photos (16.7 %) in {HIGH}."),
        (((1, 1), (5, 1)), f"1 of 2 photos (50.0 %) in control, 1 of 6 photos (16.7 %) in {HIGH}."),
    ],
)
def test_arms_with_many_rejected_enrolments_are_on_the_first_screen(
    make_run: Callable[..., Path], counts: Any, words: str
) -> None:
    arms = [arm("control", "none", *counts[0]), arm(HIGH, "high", *counts[1])]
    service = {"service": {"provider": "rekognition", "name": "Amazon Rekognition"}}
    notices = notices_of(make_run({**CONTROL, HIGH: []}, manifest={"arms": arms, **service}))
    said = [notice for notice in notices if notice.startswith("Rejected at enrolment: ")]
    assert len(said) == bool(words)
    assert all(notice.startswith(f"Rejected at enrolment: {words}") for notice in said)


MIXED = {
    "control": [{"score": 0.9}] * 3,
    HIGH: [{"score": 0.8}, *[{"score": 0.3, "source": "verify"}] * 2, {"censored": True}],
}


def built(run: Path) -> str:
    return " ".join(reports.build(run).read_text(encoding="utf-8").split())


def test_scores_of_two_sources_are_counted_arm_by_arm(make_run: Callable[..., Path]) -> None:
    page = built(make_run(MIXED))
    assert "2 of the scores come from asking the service to compare the probe with the" in page
    numbers = "".join(f'<td class="number">{count}</td> ' for count in (1, 2, 1))
    assert f'<th scope="row">{HIGH}</th> {numbers}' in page
    assert "Where each arm" in page
    assert "lower bound" not in page


def test_compared_scores_of_facepp_are_lower_bounds(make_run: Callable[..., Path]) -> None:
    service = {
        "service": {
            "provider": "facepp",
            "name": "Face++",
            "compares_faces": True,
            "emulated": True,
        }
    }
    page = built(make_run(MIXED, manifest=service))
    assert (
        "2 of the scores come from comparing the probe with single enrolled faces (verify)" in page
    )
    assert "each is a lower bound of what the search would have said" in page
    assert "the true fall is at most as large as drawn" in page


def test_scores_of_one_source_need_no_table(make_run: Callable[..., Path]) -> None:
    service = {"service": {"provider": "facepp", "name": "Face++", "compares_faces": True}}
    page = built(make_run({"control": [{"score": 0.9}, {"censored": True}]}, manifest=service))
    assert "Where each arm" not in page
    assert "lower bound" not in page


def test_thresholds_that_differ_by_answer_are_kept_and_never_compared(
    make_run: Callable[..., Path],
) -> None:
    thresholds = '{"1e-3": 61.8, "1e-4": 68.6}'
    run = make_run({"control": [{"score": 0.9, "thresholds": thresholds}, {"score": 0.8}]})
    words = "thresholds of its own, which differ from answer to answer"
    assert built(run).count(words) == 1
    kept = reports.load(run).observations["service_thresholds"]
    assert kept.tolist() == [thresholds, ""]


def test_without_thresholds_of_the_service_nothing_is_said_of_them(
    make_run: Callable[..., Path],
) -> None:
    assert "which differ from answer to answer" not in built(make_run(CONTROL))

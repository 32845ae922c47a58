from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import reports
from audit.types import Arm, Game, Targets
from reports import methods, wording

MATCHES = [{"score": 0.966}] * 31
HIGH = "fawkes-0.3-high"


def said(run: Path) -> tuple[list[str], list[str]]:
    """Return the arms' sentences, each with its rate, and the notices."""
    data = reports.load(run)
    people = data.observations["true_person"].nunique()
    sentences = wording.sentences(data.summary, data.manifest, people)
    lines = [f"{sentence.finding} {sentence.rate}".strip() for sentence in sentences]
    return lines, list(wording.notices(data.manifest, data.summary, data.observations))


def test_the_studys_finding_in_its_own_numbers(make_run: Callable[..., Path]) -> None:
    lines, notices = said(make_run({"control": MATCHES, HIGH: [{"score": 0.793}] * 31}))
    assert lines[0] == (
        "With nothing cloaked (control), the Azure Face emulator recognised the person in 31 of 31 "
        "probes; its confidence was 0.966 on average. Missed with nothing cloaked: 0.0 % (95 % "
        "interval, Wilson: 0.0 % to 11.0 %)."
    )
    assert lines[1] == (
        "At level high (fawkes-0.3, same target), the Azure Face emulator still recognised the person "
        "in 31 of 31 probes; its confidence fell from 0.966 to 0.793 on average. Protection "
        "success rate: 0.0 % (95 % interval, Wilson: 0.0 % to 11.0 %)."
    )
    assert len(notices) == 1
    assert notices[0].startswith("No real service was asked")


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ([], "no probe was asked: nothing can be said."),
        (
            [{"outcome": "no_face"}] * 2,
            "in none of 2 probes: nothing can be said. Instead: 2 without a face.",
        ),
        ([{"outcome": "no_match", "score": 0.1}], "recognised the person in none of 1 probe;"),
        ([{"censored": True}] * 3, "it hid its confidence in every probe, so none can be comp"),
        ([{}], "it gave no confidence, so none can be compared"),
        ([{"score": 0.99}], "its confidence rose from 0.966 to 0.990 on average."),
        ([{"score": 0.9661}], "its confidence stayed at 0.966 on average."),
        ([{"score": 0.5}, {"censored": True}], "to 0.500 on average (1 hidden score left out)."),
        ([{"score": 0.5}, {"outcome": "error"}], "Not counted in it: 1 error."),
    ],
)
def test_words_fit_the_rows(
    make_run: Callable[..., Path], probes: Sequence[Any], words: str
) -> None:
    lines, _ = said(make_run({"control": MATCHES, HIGH: probes}))
    assert words in lines[1]


def test_a_control_that_hides_its_scores_is_no_comparison(make_run: Callable[..., Path]) -> None:
    lines, _ = said(make_run({"control": [{"censored": True}], HIGH: [{"score": 0.5}]}))
    assert "its confidence was 0.500 on average; the control has none." in lines[1]


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ([{"outcome": "no_face"}], "The control arm has no answer, so nothing can be said"),
        ([], "The control arm has no answer, so nothing can be said"),
        ([{"outcome": "no_match"}] * 2 + [{"score": 0.9}], "missed 2 of 3 probes: the control arm"),
        ([{"outcome": "no_match"}] + [{"score": 0.9}] * 2, "missed 1 of 3 probes: every rate"),
        (
            [{"outcome": "no_match", "person": "Eve"}, {"score": 0.9}],
            "1 protected person of 2 went unrecognised with nothing cloaked",
        ),
    ],
)
def test_a_failing_control_is_warned_of(
    make_run: Callable[..., Path], control: Sequence[Any], words: str
) -> None:
    lines, notices = said(make_run({"control": control, HIGH: [{"score": 0.5}]}))
    assert words in notices[0]
    recognised = any("score" in probe for probe in control)
    assert ("still" in lines[1]) == recognised


def test_several_people_are_not_called_the_person(make_run: Callable[..., Path]) -> None:
    lines, _ = said(make_run({"control": [{"score": 0.9}, {"score": 0.9, "person": "Eve"}]}))
    assert "recognised the right person in 2 of 2 probes" in lines[0]
    # Two people, both recognised: about what Clopper and Pearson's interval of 0 in 2 holds.
    assert (
        "Missed with nothing cloaked: 0.0 % (95 % interval, by people: 0.0 % to 83.5 %)."
        in lines[0]
    )


@pytest.mark.parametrize(
    ("people", "words"),
    [
        (1, ("(Wilson)", "percentile bootstrap", "All goes by the probes", "McNemar")),
        (4, ("95 % intervals by people", "Woodruff", "4 people are too few for tests (under 5).")),
        (5, ("All goes by people", "5 people are too few for a test of recognition (under 6).")),
        (8, ("Student's test over people", "Of 8 people, p of recognition is 0.0078 at least")),
    ],
)
def test_the_notes_say_whether_they_go_by_people(people: int, words: Sequence[str]) -> None:
    notes = methods.shares_note(people), methods.of_medians(people), methods.tests_note(people)
    assert not [each for each in words if each not in " ".join(notes)]


def test_the_page_has_the_notes_of_as_many_people_as_it_has(make_run: Callable[..., Path]) -> None:
    probes = [{"score": 0.9, "person": f"person {place}"} for place in range(4)]
    page = reports.build(make_run({"control": probes, HIGH: probes})).read_text(encoding="utf-8")
    for note in (methods.shares_note(4), methods.of_medians(4), methods.tests_note(4)):
        assert note.replace("'", "&#39;") in page


def test_a_real_service_and_generated_people_are_told_apart(make_run: Callable[..., Path]) -> None:
    service = {"provider": "azure", "name": "Azure Face", "emulated": False}
    options = {"service": service, "photo_set_generated": True}
    lines, notices = said(make_run({"control": MATCHES}, manifest=options))
    assert "(control), Azure Face recognised" in lines[0]
    assert len(notices) == 1
    assert notices[0].startswith("Demonstration: all people in this run are generated.")


def test_an_unfinished_run_says_so_first(make_run: Callable[..., Path]) -> None:
    state = {"exit_state": "stopped", "exit_message": "quota <used up>"}
    _, notices = said(make_run({"control": MATCHES, HIGH: [{"score": 0.8}]}, manifest=state))
    assert notices[0] == (
        "Unfinished: this run stopped before its end; the report holds 32 of 62 probe answers, "
        "and all figures are of these alone. Reason: quota <used up>. "
        "`audit resume 2024-05-01-azure` continues it."
    )


def test_partly_cloaked_separate_targets_and_evasion_are_named(
    make_run: Callable[..., Path],
) -> None:
    arm = Arm("e", Game.EVADE, "lowkey", "mid", Targets.SEPARATE, 0.5)
    control = replace(arm, name="control", system="none", level="none", targets=None)
    lines, _ = said(make_run({control: MATCHES, arm: [{"score": 0.5}]}))
    assert "At level mid (lowkey, separate targets, 50 % of the photos cloaked, probes" in lines[1]

"""How a page's intervals and tests were made, in words: by people, or by the probes of one."""

from reports.paired import SIGNIFICANCE, SIGNS_MIN
from reports.statistics import BOOTSTRAP_MIN, PEOPLE_MIN
from reports.wording import plural


def of_medians(people: int) -> str:
    """Name how the intervals of medians were made, and what has none."""
    if people < 2:
        return (
            "percentile bootstrap of the probes, seeded). Under "
            f"{BOOTSTRAP_MIN} pairs no interval is given"
        )
    return f"by people, Woodruff). Under {PEOPLE_MIN} people no interval is given"


def shares_note(people: int) -> str:
    """Say what the intervals of shares hold for."""
    if people < 2:
        return (
            "Bars are 95 % intervals (Wilson): they speak of this one person's photos, not of other "
            "people."
        )
    return (
        f"Bars are 95 % intervals by people: a person's probes move together, so {plural(people, 'person', 'people')} "
        "count, and their probes only as far as they differ within a person (Wilson's interval with "
        "an effective number of probes). Where nobody's probes differ they are as wide as for one "
        "probe a person."
    )


def tests_note(people: int) -> str:
    """Say which tests between arms were made, over what, and what they could have told."""
    tail = (
        " The p values are adjusted over this whole table (Holm): below "
        f"{SIGNIFICANCE:g} a difference is shown, so at most {100 * SIGNIFICANCE:g} in 100 such tables "
        "show one that there isn't. "
        "Where none is, the smallest mean shift that such a table tells in about 80 of 100 cases "
        "says how much that means."
    )
    if people < 2:
        return (
            "All goes by the probes of the one person. The shift is Hodges and Lehmann's, its "
            "interval what Wilcoxon's signed-rank test leaves; the p values are of that test and of "
            f"McNemar's exact test.{tail}"
        )
    return (
        "All goes by people. The shift is Hodges and Lehmann's of the people's mean changes; p of the "
        "scores is of Student's test over people, p of recognition of a permutation test that lets "
        f"each person's net number of probes lost or gained have either sign. {_limits(people)}{tail}"
    )


def _limits(people: int) -> str:
    """Say what so many people can't tell, whatever happened to them."""
    if people < PEOPLE_MIN:
        return f"{plural(people, 'person', 'people')} are too few for tests (under {PEOPLE_MIN})."
    if people < SIGNS_MIN:
        return f"{people} people are too few for a test of recognition (under {SIGNS_MIN})."
    least = 2 / 2**people
    return f"Of {people} people, p of recognition is {least:.2g} at least, before Holm."

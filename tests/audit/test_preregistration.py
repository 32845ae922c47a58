import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import UserError
from audit.preregistration import claim, read
from audit.types import Arm, Game, Targets
from datasets import generated

Audit = Callable[..., subprocess.CompletedProcess[str]]
CONTROL = Arm("control", Game.POISON, "none", "none", None, 0.0)
ARMS = (
    CONTROL,
    *(
        Arm(f"{system}-{level}", Game.POISON, system, level, Targets.SAME, 1.0)
        for system, level in (("fawkes-0.3", "high"), ("fawkes-0.3", "min"), ("lowkey", "min"))
    ),
)


@given(
    st.sampled_from(["fawkes-0.3-high", "high"]),
    st.sampled_from([">=", ">", "<=", "<"]),
    st.decimals(-1, 1, places=4),
    st.sampled_from(["", " ", "  "]),
)
def test_a_claim_is_read_with_or_without_blanks(
    arm: str, relation: str, bound: float, blank: str
) -> None:
    text = f"{arm}{blank}:{blank}change{blank}{relation}{blank}{bound:.4f}"
    assert claim(text, ARMS) == {
        "text": text,
        "arm": "fawkes-0.3-high",
        "measure": "change",
        "relation": relation,
        "bound": float(bound),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("high protects", "can't be read"),
        ("high: protection = 0.5", "can't be read"),
        ("high: protection >= 0.5 or so", "can't be read"),
        ("high: safety >= 0.5", "can't be read"),
        ("high: protection >= 50", "50 is no protection"),
        ("high: protection >= -0.1", "-0.1 is no protection"),
        ("high: change < -1.5", "-1.5 is no change"),
        ("ultra: protection >= 0.5", "no arm has the name or level 'ultra'"),
        ("min: protection >= 0.5", "2 arms have the name or level 'min'"),
        ("control: change < 0", "control's change from itself"),
    ],
)
def test_a_claim_that_can_be_misread_is_refused(text: str, why: str) -> None:
    with pytest.raises(UserError) as error:
        claim(text, ARMS)
    assert why in str(error.value)


def test_what_is_no_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock.toml").write_text('provider = "azure"\n')
    with pytest.raises(UserError, match="no lock that this version can read"):
        read(tmp_path / "lock.toml")
    with pytest.raises(UserError, match="can't be read"):
        read(tmp_path / "nothing.toml")


@pytest.mark.usefixtures("without_figures")
def test_a_run_is_held_to_its_lock(audit_here: Audit, tmp_path: Path) -> None:
    generated.write_people(tmp_path / "people", 3, lambda person: 8 if person == 0 else 3)
    arguments = [
        *("--provider", "azure", "--emulate", "--photos", tmp_path / "people"),
        *("--person", "person-000", "--level", "none"),
    ]
    locking = ("--lock", "my.toml", "--claim", "control: protection <= 0.99")

    alone = audit_here("plan", *arguments, "--claim", "control: protection <= 0.99")
    assert (alone.returncode, "--lock FILE" in alone.stderr) == (2, True)
    planned = audit_here("plan", *arguments, *locking)
    assert planned.returncode == 0, planned.stderr
    assert "locked: my.toml, SHA-256 " in planned.stderr
    again = audit_here("plan", *arguments, *locking)
    assert (again.returncode, "a lock is written once" in again.stderr) == (2, True)

    kept = audit_here("run", *arguments, "--lock", "my.toml", "--max-calls", "500", "--out", "kept")
    assert kept.returncode == 0, kept.stderr
    run = tmp_path / "audit-runs" / "kept"
    assert (run / "lock.toml").read_bytes() == (tmp_path / "my.toml").read_bytes()
    page = (run / "report" / "index.html").read_text()
    locked = tomllib.loads((run / "lock.toml").read_text())
    assert f"kept to the experiment that was locked ({locked['experiment_sha256'][:12]})" in page
    assert "The lock is older than the run&#39;s first call" in page
    assert "Of 1 claimed outcome, 1 came true, 0 did not, and of 0 it can&#39;t be said" in page

    other = audit_here("run", *arguments, "--lock", "my.toml", "--seed", "1", "--out", "other")
    assert "this is not the experiment of the lock" in other.stderr
    page = (tmp_path / "audit-runs" / "other" / "report" / "index.html").read_text()
    assert "did not keep to its lock. What differs: their roles, seed." in page

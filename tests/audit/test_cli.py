import os
import subprocess
import sys
from collections.abc import Callable

import pytest

Audit = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = [
    *("run", "plan", "resume", "report", "export", "status", "list"),
    *("cloak", "purge", "emulate", "doctor", "weights", "photos"),
]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['audit', '--help']\n"
        "from audit.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pydantic', 'PIL', 'azure'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.endswith("heavy: []\n")


@pytest.mark.parametrize(
    ("variable", "chosen", "else_"),
    [("OMP_WAIT_POLICY", "ACTIVE", "PASSIVE"), ("OMP_NUM_THREADS", "3", "1")],
)
@pytest.mark.parametrize("is_chosen", [True, False])
def test_threads_sleep_while_they_wait_and_compute_alone_unless_the_user_says_otherwise(
    variable: str, chosen: str, else_: str, *, is_chosen: bool
) -> None:
    code = (
        "import os, sys; sys.argv = ['audit', '--help']\n"
        "from audit.cli import main\n"
        f"try:\n    main()\nexcept SystemExit:\n    print(os.environ[{variable!r}])\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != variable}
    environment |= {variable: chosen} if is_chosen else {}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == (chosen if is_chosen else else_)


def test_every_command_of_the_contract_that_exists_is_in_the_help(audit: Audit) -> None:
    done = audit("--help")

    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_an_unknown_option_is_the_users_mistake(audit: Audit) -> None:
    done = audit("run", "--providre", "mock")

    assert done.returncode == 2
    assert "--providre" in done.stderr


def test_a_reader_who_has_seen_enough_is_no_defect() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m audit providers | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("0\n", "")

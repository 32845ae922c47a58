import subprocess
import sys
from collections.abc import Callable

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


def test_every_command_of_the_contract_that_exists_is_in_the_help(audit: Audit) -> None:
    done = audit("--help")

    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_an_unknown_option_is_the_users_mistake(audit: Audit) -> None:
    done = audit("run", "--providre", "mock")

    assert done.returncode == 2
    assert "--providre" in done.stderr

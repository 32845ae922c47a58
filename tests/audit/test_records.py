"""What a run writes about itself."""

from pathlib import Path

import pytest

from audit import records
from audit.errors import Stopped
from audit.folders import RunFolder
from audit.manifest import Manifest


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_under_the_log_adds_no_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path)
    folder.manifest.write_text("{}")
    folder.log.symlink_to("/dev/full")

    with pytest.raises(Stopped, match="no room"), records.ending(folder):
        raise Stopped("no room")

    assert capsys.readouterr().err == ""
    assert Manifest(folder).get("exit_state") == "stopped"

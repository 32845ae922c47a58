"""What a process imports before it looks for faces."""

import subprocess
import sys

CODE = """
import sys
import cloaker.cloaking, cloaker.faces
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
import torch
doubled = torch.compile(lambda x: 2 * x, backend="eager")
print(doubled(torch.arange(3)).tolist(), torch._dynamo.__file__ is not None)
import torchvision
print(torchvision.ops.nms(torch.tensor([[0.0, 0, 9, 9], [1, 1, 9, 9]]), torch.ones(2), 0.5).tolist())
"""


def test_the_compiler_is_not_imported_and_works_where_it_is_wanted() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[0, 2, 4] True", "[0]"], done.stderr

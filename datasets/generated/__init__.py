"""People who don't exist, drawn in code: photos for a run without a download.

`person(index)` is who, `render(identity, photo_index)` one photo: both depend on their arguments
and the seed alone. The photos prove that a run works; they say nothing of real faces.
"""

from datasets.generated.identity import Identity, person
from datasets.generated.render import render
from datasets.generated.writing import GENERATOR_VERSION, MARK, is_generated, write_people

__all__ = [
    "GENERATOR_VERSION",
    "MARK",
    "Identity",
    "is_generated",
    "person",
    "render",
    "write_people",
]

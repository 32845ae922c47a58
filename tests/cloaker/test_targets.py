import pytest
import torch

from audit.errors import UserError
from cloaker.targets import farthest

OWN = torch.tensor([[0.0, 0.0], [4.0, 0.0]])


def test_the_person_whose_nearest_photo_is_farthest_is_chosen() -> None:
    candidates = {
        "beside one photo": torch.tensor([[5.0, 0.0]]),  # 1 away, though 5 from the other
        "two away from both": torch.tensor([[2.0, 1.0]]),
        "nowhere near": torch.tensor([[2.0, 3.0]]),
    }
    assert farthest(OWN, candidates) == "nowhere near"
    del candidates["nowhere near"]
    assert farthest(OWN, candidates) == "two away from both"


def test_a_candidate_is_the_centroid_of_their_photos() -> None:
    candidates = {
        "wide": torch.tensor([[2.0, -9.0], [2.0, 9.0]]),
        "narrow": torch.tensor([[2.0, 1.0], [2.0, 1.0]]),
    }
    assert farthest(OWN, candidates) == "narrow"


def test_of_equals_the_first_by_name_is_chosen() -> None:
    same = torch.tensor([[9.0, 9.0]])
    assert farthest(OWN, {"b": same, "a": same, "c": same}) == "a"


def test_nobody_to_cloak_towards_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match="nobody to cloak towards"):
        farthest(OWN, {})

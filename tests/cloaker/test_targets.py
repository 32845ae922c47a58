import pytest
import torch

from audit.errors import UserError
from cloaker.targets import choose, ranked

OWN = torch.tensor([[0.0, 0.0], [4.0, 0.0]])


def test_the_person_whose_nearest_photo_is_farthest_is_chosen() -> None:
    candidates = {
        "beside one photo": torch.tensor([[5.0, 0.0]]),  # 1 away, though 5 from the other
        "two away from both": torch.tensor([[2.0, 1.0]]),
        "nowhere near": torch.tensor([[2.0, 3.0]]),
    }
    assert ranked(OWN, candidates)[0] == "nowhere near"
    del candidates["nowhere near"]
    assert ranked(OWN, candidates)[0] == "two away from both"


def test_a_candidate_is_the_centroid_of_their_photos() -> None:
    candidates = {
        "wide": torch.tensor([[2.0, -9.0], [2.0, 9.0]]),
        "narrow": torch.tensor([[2.0, 1.0], [2.0, 1.0]]),
    }
    assert ranked(OWN, candidates)[0] == "narrow"


def test_equals_are_ordered_by_name() -> None:
    same = torch.tensor([[9.0, 9.0]])
    assert ranked(OWN, {"b": same, "a": same, "c": same}) == ["a", "b", "c"]


def test_nobody_to_cloak_towards_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match="nobody to cloak towards"):
        ranked(OWN, {})


def test_of_many_people_one_of_the_farthest_is_drawn() -> None:
    crowd = {f"{far:03}": torch.tensor([[2.0, float(far)]]) for far in range(300)}
    drawn = {choose(OWN, crowd, 20, seed) for seed in range(200)}
    assert drawn == {f"{far:03}" for far in range(280, 300)}
    assert choose(OWN, crowd, 20, 7) == choose(OWN, crowd, 20, 7)


def test_of_a_small_pool_a_tenth_counts_as_far() -> None:
    crowd = {f"{far:03}": torch.tensor([[2.0, float(far)]]) for far in range(29)}
    assert {choose(OWN, crowd, 20, seed) for seed in range(50)} == {"027", "028"}
    assert choose(OWN, {"a": OWN, "b": OWN + 9}, 20, 3) == "b"

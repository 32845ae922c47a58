"""Faces of collections through the real SDK: search and compare."""

from typing import Any

import pytest

from tests.conformance.rekognition_client import image, index


def test_search_by_image(rekognition: Any) -> None:
    """The stub's faces of one person lie 0.1 rad apart from variant to variant."""
    for variant in (0, 2, 4):
        index(rekognition, 1, variant, ExternalImageId=f"v{variant}")
    index(rekognition, 2, ExternalImageId="other")

    def found(**more: Any) -> dict[str, float]:
        answer = rekognition.search_faces_by_image(CollectionId="c", Image=image(1), **more)
        assert answer["SearchedFaceBoundingBox"]["Width"] == 0.375
        assert answer["SearchedFaceConfidence"] == 99.0
        return {
            match["Face"]["ExternalImageId"]: match["Similarity"] for match in answer["FaceMatches"]
        }

    scores = found(FaceMatchThreshold=0, MaxFaces=4096)
    assert list(scores) == ["v0", "v2", "v4", "other"]
    assert scores["v0"] == 99.909
    assert scores["other"] == 0.669
    assert list(found()) == ["v0", "v2", "v4"]
    assert list(found(FaceMatchThreshold=scores["v2"])) == ["v0", "v2"]
    assert list(found(MaxFaces=1)) == ["v0"]


def test_the_largest_face_searches(rekognition: Any) -> None:
    index(rekognition, 1, ExternalImageId="large")
    index(rekognition, 6, ExternalImageId="small")
    found = rekognition.search_faces_by_image(CollectionId="c", Image=image(1, 1, faces=2))
    assert [match["Face"]["ExternalImageId"] for match in found["FaceMatches"]] == ["large"]
    nobody = "There are no faces in the image. Should be at least 1."
    with pytest.raises(rekognition.exceptions.InvalidParameterException, match=nobody):
        rekognition.search_faces_by_image(CollectionId="c", Image=image(1, faces=0))


def test_search_by_face_leaves_out_the_face(rekognition: Any) -> None:
    [face], [twin] = index(rekognition, 1), index(rekognition, 1, 1)
    index(rekognition, 2)
    found = rekognition.search_faces(CollectionId="c", FaceId=face)
    assert found["SearchedFaceId"] == face
    assert [match["Face"]["FaceId"] for match in found["FaceMatches"]] == [twin]
    found = rekognition.search_faces(
        CollectionId="c", FaceId=face, MaxFaces=1, FaceMatchThreshold=0
    )
    assert [match["Face"]["FaceId"] for match in found["FaceMatches"]] == [twin]


def test_search_follows_every_change(rekognition: Any) -> None:
    def found() -> list[str]:
        answer = rekognition.search_faces_by_image(CollectionId="c", Image=image(1))
        return sorted(match["Face"]["FaceId"] for match in answer["FaceMatches"])

    assert found() == []
    first = index(rekognition, 1, 1)
    assert found() == first
    more = [index(rekognition, 1, variant)[0] for variant in range(2, 5)]
    assert found() == sorted(first + more)
    deleted = rekognition.delete_faces(CollectionId="c", FaceIds=[*first, more[0], first[0]])
    assert deleted["DeletedFaces"] == [*first, more[0]]
    assert found() == sorted(more[1:])
    assert index(rekognition, 1, 1) == first
    assert found() == sorted(first + more[1:])
    rekognition.delete_collection(CollectionId="c")
    rekognition.create_collection(CollectionId="c")
    assert found() == []


def test_faces_are_compared(rekognition: Any) -> None:
    compared = rekognition.compare_faces(SourceImage=image(1), TargetImage=image(1, 2, faces=2))
    [match], [other] = compared["FaceMatches"], compared["UnmatchedFaces"]
    assert match["Similarity"] == 99.884
    assert other["BoundingBox"]["Width"] == 0.25
    assert compared["SourceImageFace"]["BoundingBox"]["Width"] == 0.375
    compared = rekognition.compare_faces(
        SourceImage=image(1), TargetImage=image(1, 2, faces=2), SimilarityThreshold=0
    )
    assert [match["Similarity"] for match in compared["FaceMatches"]] == [99.884, 0.669]
    high = {"SourceImage": image(1), "TargetImage": image(2, faces=2), "QualityFilter": "HIGH"}
    assert len(rekognition.compare_faces(**high)["UnmatchedFaces"]) == 1

"""What every adapter tells of a gallery's content, and how one person is exchanged for another."""

import pytest

from tests.conformance.account import Account, Enrolled

# One more than Face++ has on a page; the others are asked for pages of 40.
MANY = 101


def add(account: Account, tag: str, variants: tuple[int, ...], look: int = 5) -> Enrolled:
    """Enrol photos of one look and train."""
    photos = [account.photo(look, variant) for variant in variants]
    added = account.enrol("g", account.person("g", tag), photos)
    account.train("g")
    return added


def offered(account: Account, look: int = 5) -> list[str]:
    return [found.person_id for found in account.ask(account.photo(look, 1), threshold=0.5)]


def ids(*people: Enrolled) -> list[str]:
    return sorted(face for person in people for face in person.faces)


def test_one_person_s_faces_are_exchanged(account: Account) -> None:
    decoys = account.fill()
    first = add(account, "person-9-arm-1", (0, 3))
    assert offered(account) == [first.id]
    account.remove("g", first)
    account.train("g")
    assert offered(account) == []
    assert sorted(account.held()) == ids(*decoys)
    second = add(account, "person-9-arm-2", (2, 4))
    assert offered(account) == [second.id]
    assert offered(account, look=1) == [decoys[1].id]
    assert sorted(account.held()) == ids(*decoys, second)


def test_the_same_photos_are_enrolled_again(account: Account) -> None:
    decoys = account.fill()
    account.remove("g", add(account, "person-9-arm-1", (0, 3)))
    again = add(account, "person-9-arm-2", (0, 3))
    assert offered(account) == [again.id]
    assert sorted(account.held()) == ids(*decoys, again)


def test_removing_one_gallery_s_faces_leaves_the_others(account: Account) -> None:
    account.fill("h")
    other = account.held("h")
    for person in account.fill("g"):
        account.remove("g", person)
    assert account.held("g") == []
    assert account.held("h") == other


@pytest.mark.needs("remove_faces")
def test_faces_that_are_gone_do_not_matter(account: Account) -> None:
    decoys = account.fill()
    gone, last = add(account, "person-9", (0, 3)), add(account, "person-10", (0,), look=4)
    for person in (gone, last):
        account.remove("g", person)
    account.provider.remove_faces("g", [*gone.faces, *last.faces])
    assert sorted(account.held()) == ids(*decoys)


@pytest.mark.needs("remove_person")
def test_a_removed_person_is_listed_no_more(account: Account) -> None:
    people = account.fill()
    account.provider.remove_person("g", people[0].id)
    held = {person.id for page in account.pages() for person in page}
    assert held - {""} == {person.id for person in people[1:]}


@pytest.mark.needs("remove_faces")
def test_as_many_faces_are_removed_at_once_as_the_capabilities_say(account: Account) -> None:
    [person] = account.fill(people=1)
    account.remove("g", person)
    size = min(account.capabilities.remove_batch, 4096)
    unknown = [f"00000000-0000-4000-8000-{number:012}" for number in range(size)]
    account.provider.remove_faces("g", unknown)


def test_a_gallery_tells_whose_its_faces_are(account: Account) -> None:
    people = account.fill()
    held: dict[tuple[str, str], list[str]] = {}
    for page in account.pages():
        for person in page:
            held.setdefault((person.id, person.tag), []).extend(person.face_ids)
    tagged = {(person.id, f"person-{number}"): person.faces for number, person in enumerate(people)}
    # Face++ lists faces without their people.
    expected = {("", ""): ids(*people)} if ("", "") in held else tagged
    assert {owner: sorted(faces) for owner, faces in held.items()} == {
        owner: sorted(faces) for owner, faces in expected.items()
    }
    assert (("", "") in held) == (account.row.name == "facepp")


def test_an_empty_gallery_holds_nothing(account: Account) -> None:
    account.provider.create_gallery("g")
    assert list(account.pages()) == [()]


def test_a_gallery_is_read_page_by_page(account: Account, short_pages: int) -> None:
    account.provider.create_gallery("g")
    count = min(MANY, account.capabilities.faces_per_person_max)
    # Bytes behind the picture make another file of it.
    photos = [account.photo(0) + number.to_bytes(2) for number in range(count)]
    some = account.enrol("g", account.person("g", "person-0"), photos[: count // 2])
    others = account.enrol("g", account.person("g", "person-1"), photos[count // 2 :])
    pages = list(account.pages())
    assert sorted(face for page in pages for one in page for face in one.face_ids) == ids(
        some, others
    )
    entries = 2 if account.capabilities.lists_people else count
    assert len(pages) == entries // short_pages + 1
    assert account.sent("list_gallery") == (len(pages) if account.url else 0)


@pytest.mark.needs("pages of people")
@pytest.mark.parametrize("number", [MANY, 80])  # a full page may be the last one: 80 take 3
def test_many_people_are_listed(account: Account, short_pages: int, number: int) -> None:
    account.provider.create_gallery("g")
    people = {account.person("g", f"person-{one}"): f"person-{one}" for one in range(number)}
    pages = list(account.pages())
    listed = [(one.id, one.tag, one.face_ids) for page in pages for one in page]
    assert sorted(listed) == sorted((person, tag, ()) for person, tag in people.items())
    assert len(pages) == number // short_pages + 1 == account.sent("list_gallery")


def test_many_galleries_are_listed(account: Account, short_pages: int) -> None:
    names = {f"g-{number}" for number in range(MANY)}
    for name in names:
        account.provider.create_gallery(name)
    listed = account.provider.list_galleries()
    assert (set(listed), len(listed)) == (names, MANY)
    assert account.sent("list_galleries") == (MANY // short_pages + 1 if account.url else 0)

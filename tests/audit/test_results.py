import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from audit import results

CELL = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
    st.sampled_from(["\r", "a\rb", "\r\n", "\n", '"', ",", "a\r", "\ra"]),
)


@given(st.lists(st.tuples(CELL, CELL), max_size=4))
def test_a_table_is_read_as_it_was_written(rows: list[tuple[str, str]]) -> None:
    text = results.table(["one", "two"], ({"one": one, "two": two} for one, two in rows))
    assert [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)] == [
        ("one", "two"),
        *rows,
    ]


def test_a_lone_carriage_return_is_quoted_and_rows_end_in_a_line_feed() -> None:
    text = results.table(["who", "score"], [{"who": "Ada\rLovelace", "score": None}])
    assert text == 'who,score\n"Ada\rLovelace",\n'

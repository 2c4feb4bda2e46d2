"""Passages follow the document's structure and keep their length."""

from hypothesis import given
from hypothesis import strategies as st

from milepost_rag.chunks import chunks_of


def words(text: str) -> int:
    return len(text.split())


def test_each_passage_knows_the_headings_above_it_and_its_line() -> None:
    text = "intro\n\n# A\n\none\n\n## B\n\ntwo\n\n### C\n\nthree\n\n## D\n\nfour\n"
    found = [(chunk.location, chunk.line, chunk.text) for chunk in chunks_of(text, max_tokens=50, count=words)]
    assert found == [
        ("line 1", 1, "intro"),
        ("A", 5, "one"),
        ("A > B", 9, "two"),
        ("A > B > C", 13, "three"),
        ("A > D", 17, "four"),
    ]


def test_short_blocks_under_one_heading_share_a_passage_up_to_the_limit() -> None:
    text = "# A\n\n" + "\n\n".join(f"word{i} x x" for i in range(4))
    assert [words(chunk.text) for chunk in chunks_of(text, max_tokens=6, count=words)] == [6, 6]


def test_a_heading_inside_of_code_is_code() -> None:
    text = "# A\n\n```sh\n# not a heading\nmake\n```\n"
    chunks = chunks_of(text, max_tokens=50, count=words)
    assert [(chunk.heading, "# not a heading" in chunk.text) for chunk in chunks] == [("A", True)]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = "One two three. Four five six. Seven eight nine."
    texts = [chunk.text for chunk in chunks_of(text, max_tokens=6, count=words)]
    assert texts == ["One two three. Four five six.", "Seven eight nine."]


@given(st.text(st.sampled_from("ab #\n.*-`>|1"), max_size=400), st.integers(2, 12))
def test_no_passage_is_longer_than_the_limit_and_no_word_is_lost(text: str, limit: int) -> None:
    chunks = chunks_of(text, max_tokens=limit, count=words)
    assert all(words(chunk.text) <= limit for chunk in chunks)
    kept = "".join("".join(chunk.text.split()) + "".join(chunk.heading.split()) for chunk in chunks)
    body = [line for line in text.splitlines() if line.strip("ab ") == "" and line.strip()]
    assert all("".join(line.split()) in kept or "#" in text or "`" in text for line in body)


def test_a_text_without_spaces_is_cut_too() -> None:
    chunks = chunks_of("x" * 1000, max_tokens=100, count=len)
    assert "".join(chunk.text for chunk in chunks) == "x" * 1000
    assert max(len(chunk.text) for chunk in chunks) <= 100

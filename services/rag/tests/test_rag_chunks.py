"""Passages follow the document's structure and keep their length."""

from hypothesis import given
from hypothesis import strategies as st

from milepost_rag.blocks import Block
from milepost_rag.chunks import Chunk, chunks_of
from milepost_rag.formats.markdown import markdown_blocks


def words(text: str) -> int:
    return len(text.split())


def markdown_chunks(text: str, max_tokens: int) -> list[Chunk]:
    return list(chunks_of(markdown_blocks(text.encode()), max_tokens=max_tokens, count=words))


def test_each_passage_knows_the_headings_above_it_and_its_line() -> None:
    text = "intro\n\n# A\n\none\n\n## B\n\ntwo\n\n### C\n\nthree\n\n## D\n\nfour\n"
    assert [(chunk.location, chunk.text) for chunk in markdown_chunks(text, 50)] == [
        ("line 1", "intro"),
        ("A, line 5", "one"),
        ("A > B, line 9", "two"),
        ("A > B > C, line 13", "three"),
        ("A > D, line 17", "four"),
    ]


def test_short_blocks_under_one_heading_share_a_passage_up_to_the_limit() -> None:
    text = "# A\n\n" + "\n\n".join(f"word{i} x x" for i in range(4))
    assert [words(chunk.text) for chunk in markdown_chunks(text, 6)] == [6, 6]


def test_a_heading_inside_of_code_is_code() -> None:
    [chunk] = markdown_chunks("# A\n\n```sh\n# not a heading\nmake\n```\n", 50)
    assert (chunk.heading, "# not a heading" in chunk.text) == ("A", True)


def test_a_long_paragraph_is_cut_between_sentences_and_each_part_has_its_line() -> None:
    text = "# A\n\nOne two three. Four\nfive six. Seven\neight nine."
    assert [(chunk.line, chunk.text) for chunk in markdown_chunks(text, 6)] == [
        (3, "One two three. Four five six."),
        (4, "Seven eight nine."),
    ]


def test_a_list_is_cut_between_items() -> None:
    text = "- one two\n- three four\n  - five\n- six seven\n"
    assert [(chunk.line, chunk.text) for chunk in markdown_chunks(text, 6)] == [
        (1, "- one two"),
        (2, "- three four\n  - five"),
        (4, "- six seven"),
    ]


def test_a_table_is_cut_between_rows_and_each_part_has_the_head_row() -> None:
    text = "| k | v |\n|---|---|\n| a | 1 |\n| b | 2 |\n| c | 3 |\n"
    assert [(chunk.line, chunk.text) for chunk in markdown_chunks(text, 15)] == [
        (3, "| k | v |\n| a | 1 |\n| b | 2 |"),
        (5, "| k | v |\n| c | 3 |"),
    ]


def test_code_is_cut_between_lines_and_keeps_its_indents() -> None:
    text = "```python\ndef one():\n    return 1\n\ndef two():\n    return 2\n```\n"
    assert [chunk.text for chunk in markdown_chunks(text, 5)] == [
        "```python\ndef one():\n    return 1",
        "def two():\n    return 2\n```",
    ]


def test_pages_do_not_share_a_passage() -> None:
    blocks = [Block("A", "one", page=1), Block("A", "two", page=1), Block("A", "three", page=2)]
    chunks = list(chunks_of(blocks, max_tokens=50, count=words))
    assert [(chunk.location, chunk.text) for chunk in chunks] == [("A, page 1", "one\n\ntwo"), ("A, page 2", "three")]


@given(st.text(st.sampled_from("ab #\n.*-`>|1"), max_size=400), st.integers(2, 12))
def test_no_passage_is_longer_than_the_limit_and_no_word_is_lost(text: str, limit: int) -> None:
    chunks = markdown_chunks(text, limit)
    assert all(words(chunk.text) <= limit for chunk in chunks)
    kept = "".join("".join(chunk.text.split()) + "".join(chunk.heading.split()) for chunk in chunks)
    body = [line for line in text.splitlines() if line.strip("ab ") == "" and line.strip()]
    assert all("".join(line.split()) in kept or "#" in text or "`" in text for line in body)


def test_a_text_without_spaces_is_cut_too() -> None:
    chunks = list(chunks_of([Block("", "x" * 1000, line=1)], max_tokens=100, count=len))
    assert "".join(chunk.text for chunk in chunks) == "x" * 1000
    assert max(len(chunk.text) for chunk in chunks) <= 100

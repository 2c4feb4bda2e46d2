"""Each format is read into blocks with their headings and places."""

import pytest
from pdf_files import pdf_of

from milepost_rag.blocks import Block
from milepost_rag.errors import UnreadableError
from milepost_rag.formats import blocks_of

PAGE = """\
<!DOCTYPE html>
<html><head><title>The lamp</title><style>p { color: red }</style></head>
<body><nav><a href="/">Home</a> and more</nav>
<ul><li><a href="/a">Contents</a><li><a href="/b">Index</a></ul>
<h1>The lamp</h1>
<p>It burns <b>rape</b>seed
 oil.
<p>Trim it every <a href="h">four hours</a>.
<h2>Cleaning</h2>
Use vinegar.<br>Never sand.
<ul>
<li>Polish the lens
<li><a href="/wipe">Wipe the <i>brass</i></a>
</ul>
<pre>
  turn left
    twice
</pre>
<script>var unseen = "<p>no</p>";</script>
<table>
<tr><th>Tank</th><th>Litres</th></tr>
<tr><td>small</td><td><p>12</p></td></tr>
<tr><td>large</td><td>40</td></tr>
</table>
<!-- nor this -->
<h2>Fuel</h2><div>Rape<div>Whale</div>Gas</div>
</body></html>
"""


@pytest.mark.requirement("RAG-1")
def test_html_is_read_as_it_is_seen_also_where_tags_are_left_open() -> None:
    lamp, cleaning, fuel = "The lamp", "The lamp > Cleaning", "The lamp > Fuel"
    assert list(blocks_of("page.html", PAGE.encode())) == [
        Block(lamp, "It burns rapeseed oil.", line=6),
        Block(lamp, "Trim it every four hours.", line=8),
        Block(cleaning, "Use vinegar. Never sand.", line=9),
        Block(cleaning, "Polish the lens", line=12, kind="item"),
        Block(cleaning, "Wipe the brass", line=13, kind="item"),
        Block(cleaning, "  turn left\n    twice", line=15, kind="code"),
        Block(cleaning, "small | 12", line=22, kind="row", header="Tank | Litres"),
        Block(cleaning, "large | 40", line=23, kind="row", header="Tank | Litres"),
        Block(fuel, "Rape", line=26),
        Block(fuel, "Whale", line=26),
        Block(fuel, "Gas", line=26),
    ]


def test_html_says_itself_how_it_is_encoded() -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body><p>Łódź</p></body></html>'
    assert [block.text for block in blocks_of("a.htm", page.encode("iso-8859-2"))] == ["Łódź"]


@pytest.mark.requirement("RAG-1")
def test_pdf_has_pages_headings_by_their_type_and_paragraphs_by_their_distance() -> None:
    first = [(24, "The lamp"), (12, "It burns oil,"), (12, "forty litres."), (12, ""), (12, "It is trimmed")]
    second = [(12, "every four hours."), (16, "Cleaning"), (12, "Use vinegar (not sand).")]
    assert list(blocks_of("lamp.PDF", pdf_of([first, second]))) == [
        Block("The lamp", "It burns oil, forty litres.", page=1),
        Block("The lamp", "It is trimmed every four hours.", page=1),
        Block("The lamp > Cleaning", "Use vinegar (not sand).", page=2),
    ]


def test_a_number_that_begins_a_line_of_plain_text_makes_no_list_and_no_heading() -> None:
    text = "\n# one\ntwo\n\n\n1. three\n   four\n"
    assert list(blocks_of("a.txt", text.encode())) == [
        Block("", "# one\ntwo", line=2),
        Block("", "1. three\n   four", line=6),
    ]


def test_a_table_of_a_head_row_alone_is_read() -> None:
    assert [(block.text, block.line) for block in blocks_of("a.md", b"x\n\n| a | b |\n|---|---|\n")] == [
        ("x", 1),
        ("| a | b |", 3),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_in_the_encodings_of_common_editors_is_read(encoding: str) -> None:
    assert [block.text for block in blocks_of("a.md", "Öl für die Lampe".encode(encoding))] == ["Öl für die Lampe"]


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html"])
def test_bytes_that_are_no_text_are_refused(name: str) -> None:
    with pytest.raises(UnreadableError, match="is no text; allowed: text in UTF-8 or UTF-16"):
        list(blocks_of(name, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"))

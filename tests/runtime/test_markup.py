"""HTML of texts: a parser reads back what was given, whatever it was; tables hold their cells."""

from html.parser import HTMLParser

import pytest
from hostile import NAMES
from hypothesis import given
from hypothesis import strategies as st

from byol_tutorial.runtime.markup import encodable, escaped, html_table


class Reader(HTMLParser):
    """Reads tags with their attributes, and the text between them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


@given(st.text() | st.sampled_from(NAMES))
def test_a_parser_reads_the_text_and_the_attribute_back(text):
    for quote in "\"'":
        page = Reader(f"<p title={quote}{escaped(text)}{quote}>{escaped(text)}</p>")
        assert page.tags == [("p", {"title": encodable(text)})]
        assert "".join(page.text) == encodable(text)
    escaped(text).encode()


def test_half_a_surrogate_pair_is_its_code():
    assert escaped("ch\udce4t") == "ch\\udce4t"
    assert escaped("😀") == "😀"


@pytest.mark.parametrize("name", NAMES)
def test_a_table_holds_its_cells_and_no_other_element(name):
    page = Reader(html_table(["", name], [[name, name], [name, 3]], caption=name, foot=name))
    assert {tag for tag, _ in page.tags} == {"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"}
    assert {key for _, attributes in page.tags for key in attributes} == {"style", "scope", "colspan"}
    said = encodable(name)
    assert "".join(page.text) == said * 5 + "3" + said

"""HTML of texts and tables: every text that goes into a page is escaped here, wherever it comes from."""

from collections.abc import Iterable
from html import escape


def escaped(text: object) -> str:
    """Return a text as HTML that shows it as it is, within an element or within a quoted attribute.

    A class, a run or a file may be named `<img src=x onerror=...>`, and a browser would run that. Half a surrogate
    pair, which names of files can hold, becomes its code, because no page can be encoded with it.
    """
    return escape(encodable(str(text)))


def encodable(text: str) -> str:
    """Return the text with halves of surrogate pairs as their codes, such as \\udcff, so that it can be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def html_table(
    head: Iterable[object],
    rows: Iterable[Iterable[object]],
    caption: str = "",
    foot: str = "",
) -> str:
    """Return a table; the first cell of each row names the row.

    Args:
        head: the names of the columns, first that of the rows' names.
        rows: as many cells a row; each is shown as str() gives it.
        caption, foot: a line above the table and one below its rows, or "".
    """
    columns = [escaped(name) for name in head]
    top = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in columns)
    body = "".join(f"<tr>{_row([escaped(cell) for cell in row])}</tr>" for row in rows)
    above = f'<caption style="text-align:left">{escaped(caption)}</caption>' if caption else ""
    below = f'<tfoot><tr><td colspan="{len(columns)}">{escaped(foot)}</td></tr></tfoot>' if foot else ""
    return f"<table>{above}<thead><tr>{top}</tr></thead><tbody>{body}</tbody>{below}</table>"


def _row(cells: list[str]) -> str:
    name, *values = cells
    return f'<th scope="row" style="text-align:left">{name}</th>' + "".join(f"<td>{value}</td>" for value in values)

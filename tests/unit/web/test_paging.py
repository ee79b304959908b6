"""A part of a long list."""

from __future__ import annotations

from hookline.web.paging import ROWS_PER_PAGE, RowsOfPage, page_number, rows_of_page


def test_pages_hold_every_row_once() -> None:
    """The pages together are the list, and a number beyond it is the last page."""
    rows = list(range(2 * ROWS_PER_PAGE + 1))
    pages = [rows_of_page(rows, number) for number in (1, 2, 3)]
    assert rows == [one for page in pages for one in page.rows]
    assert (1, ROWS_PER_PAGE, 3) == (pages[0].first, pages[0].last, pages[0].pages)
    assert pages[2] == rows_of_page(rows, 99)
    empty: RowsOfPage[int] = rows_of_page([], 5)
    assert (1, 1, 0, 0) == (empty.number, empty.pages, empty.first, empty.last)


def test_a_request_cannot_name_a_wrong_page() -> None:
    """Text that is no number is the first page."""
    assert [1, 7, 1, 1, 1, 1] == [page_number(one) for one in (None, "7", "-1", "x", "٣", "9" * 5000)]

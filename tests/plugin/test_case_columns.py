"""The case list stays readable in a narrow dock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt

from napari_sslseg.summaries import CaseSummary
from napari_sslseg.widgets.case_table import (
    CASE,
    CASE_LEAST,
    COLUMNS,
    DOMAIN,
    DOMAIN_LEAST,
    DOMAIN_MOST,
    UNCERTAINTY,
    CaseTable,
)

LONG = "Siemens Skyra 3T"


@pytest.fixture
def table(qtbot):
    """A list so short that it shows its scroll bar."""
    made = CaseTable()
    qtbot.addWidget(made)
    made.resize(330, 110)
    made.show()
    return made


def show(table, qtbot, **facts):
    rows = [CaseSummary(f"sample_{n:03d}", slices=12, **facts) for n in range(12)]
    table.set_value(rows, "sample_000")
    qtbot.waitUntil(lambda: table.verticalScrollBar().maximum() > 0, timeout=1000)
    qtbot.wait(20)
    return rows


def widths(table):
    return [table.columnWidth(column) for column in range(len(COLUMNS))]


@pytest.mark.parametrize("domain", ["", "B", "site B", LONG, 5 * LONG])
@pytest.mark.parametrize("uncertainty", [None, 0.4])
def test_all_columns_fit_at_330_pixels(table, qtbot, domain, uncertainty):
    show(table, qtbot, domain=domain, uncertainty=uncertainty, validation=True, dice=0.81)
    assert sum(widths(table)) == table.viewport().width(), widths(table)
    assert table.horizontalScrollBar().maximum() == 0
    assert table.columnWidth(CASE) >= CASE_LEAST
    if uncertainty is None:
        assert table.columnWidth(CASE) >= table.sizeHintForColumn(CASE), "the name is whole"
    if domain:
        assert DOMAIN_LEAST <= table.columnWidth(DOMAIN) <= DOMAIN_MOST


def test_a_name_too_long_for_the_list_goes_before_the_domain(table, qtbot):
    table.set_value([CaseSummary(30 * "sample", domain=LONG)], None)
    qtbot.wait(20)
    assert table.columnWidth(DOMAIN) == DOMAIN_LEAST
    assert sum(widths(table)) == table.viewport().width()


def test_a_wider_list_gives_the_domain_its_room_and_then_the_case(table, qtbot):
    show(table, qtbot, domain=LONG)
    narrow = widths(table)
    table.resize(600, 110)
    assert table.columnWidth(DOMAIN) == min(DOMAIN_MOST, table.sizeHintForColumn(DOMAIN))
    assert table.columnWidth(CASE) > narrow[CASE]
    assert sum(widths(table)) == table.viewport().width()
    table.resize(330, 110)
    assert widths(table) == narrow


def test_long_words_lose_their_middle_and_are_whole_in_the_tooltip(table, qtbot):
    show(table, qtbot, domain=LONG)
    assert table.textElideMode() is Qt.TextElideMode.ElideMiddle
    assert not table.wordWrap(), "that would cut at a space"
    assert table.item(0, CASE).toolTip() == "sample_000"
    assert table.item(0, DOMAIN).toolTip() == LONG


def test_uncertainty_is_shown_once_a_case_was_predicted(table, qtbot):
    rows = show(table, qtbot)
    assert table.isColumnHidden(UNCERTAINTY)
    before = table.columnWidth(CASE)
    for found in ({"uncertainty": 0.4}, {"nothing_found": True}):
        table.set_value([replace(rows[0], **found), *rows[1:]], "sample_000")
        assert not table.isColumnHidden(UNCERTAINTY), found
        assert table.columnWidth(CASE) < before
        table.set_value(rows, "sample_000")
        assert table.isColumnHidden(UNCERTAINTY)
        assert table.columnWidth(CASE) == before

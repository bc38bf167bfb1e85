"""The worklist as a table."""

from __future__ import annotations

from collections.abc import Iterable

from psygnal import Signal
from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QColor, QContextMenuEvent, QKeyEvent, QPainter, QResizeEvent
from qtpy.QtWidgets import (
    QHeaderView,
    QMenu,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_sslseg.summaries import CaseState, CaseSummary

COLUMNS = ("Case", "State", "Slices", "Uncertainty", "Dice", "Domain")
TIPS = (
    "The image file's name. A click shows the case.",
    "new: nothing labelled yet; started: some slices are labelled; done: you marked it as checked.",
    "How many slices of this case are labelled, partly or completely.",
    "How unsure the model is in and around the structures. Long bars deserve a look first.\n"
    "No bar: not predicted yet, or nothing found; its tooltip says so.",
    "Agreement of the prediction with your own labels (1 is perfect) on slices kept out of the\n"
    "first part of the training; the figure is of the model before they joined.",
    "The scanner, site or sequence that you set for this case; by a right-click.",
)
FEWEST, MOST, ROW_HEIGHT = 3, 8, 23
LOW = 900
"""Height of a dock in which only the fewest rows have room beside the rest."""

CASE, UNCERTAINTY, DOMAIN = (COLUMNS.index(title) for title in ("Case", "Uncertainty", "Domain"))
WAITING = "..."
WAITING_TIP = (
    "Slices of this case are held out. It gets a Dice when it is on the screen while they are:\n"
    "the plan of a training says how long, then they teach."
)
CASE_LEAST, BAR_WIDTH, DOMAIN_LEAST, DOMAIN_MOST = 72, 54, 48, 120
"""Widths of columns in pixels."""

COLORS = {CaseState.NEW: "#8a919c", CaseState.STARTED: "#e0b84c", CaseState.DONE: "#4fbf83"}


class BarDelegate(QStyledItemDelegate):
    """Draws a number in [0, 1] as a bar."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Draw the cell, then the bar on it."""
        super().paint(painter, option, index)
        value = index.data(Qt.ItemDataRole.UserRole)
        if value is None:
            return
        area: QRect = option.rect.adjusted(5, 7, -5, -7)
        painter.fillRect(area, QColor(255, 255, 255, 28))
        area.setWidth(max(1, round(area.width() * min(1.0, float(value)))))
        painter.fillRect(area, QColor("#d0547e"))


class CaseTable(QTableWidget):
    """Cases in the project's order; emits `chosen` with a name on a click or Enter.

    Several rows can be selected for what the context menu offers.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.setObjectName("case_list")
        self._filter = ""
        self._room = FEWEST
        self._rows: tuple[CaseSummary, ...] = ()
        self._shown: str | None = None
        for column, (title, tip) in enumerate(zip(COLUMNS, TIPS, strict=True)):
            heading = QTableWidgetItem(title)
            heading.setToolTip(tip)
            self.setHorizontalHeaderItem(column, heading)
        self.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.setSelectionMode(QTableWidget.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for column in (CASE, UNCERTAINTY, DOMAIN):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
        header.setHighlightSections(False)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        header.sectionResized.connect(self._share_width)
        # Once more when Qt has resized all of them: while it does, widths may be those of before.
        header.sectionResized.connect(self._share_width, Qt.ConnectionType.QueuedConnection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)  # else text is cut at a space instead of in the middle
        self.setColumnWidth(UNCERTAINTY, BAR_WIDTH)
        self.setItemDelegateForColumn(UNCERTAINTY, BarDelegate(self))
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        self._show_columns()
        self.setToolTip(
            "Your volumes. A click shows one; your strokes are saved by themselves.\n"
            "Select several with Shift or Ctrl; a right-click sets their scanner, site or sequence."
        )
        self.cellClicked.connect(self._choose)
        self.cellActivated.connect(self._choose)

    def set_value(self, summaries: Iterable[CaseSummary], shown: str | None) -> None:
        """Show these cases, `shown` selected unless several are; only changed rows are written."""
        before, self._rows = self._rows, tuple(summaries)
        self.setRowCount(len(self._rows))
        for row, summary in enumerate(self._rows):
            if row >= len(before) or summary != before[row]:
                self._fill(row, summary)
        self._show_columns()
        moved = any(a.name != b.name for a, b in zip(before, self._rows, strict=False))
        if moved or shown != self._shown or len(self.selected()) < 2:
            self._select(shown)
        self.filter(self._filter)

    def selected(self) -> tuple[str, ...]:
        """Return the cases whose rows are selected and not filtered away, in their order."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        return tuple(self._rows[row].name for row in rows if not self.isRowHidden(row))

    def filter(self, words: str) -> None:
        """Show only cases whose name, state or domain contains `words`."""
        self._filter = words
        wanted = words.lower()
        for row, summary in enumerate(self._rows):
            text = f"{summary.name} {summary.state} {summary.domain}".lower()
            self.setRowHidden(row, wanted not in text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the case on the screen in sight, and the cases above it where there is room."""
        super().resizeEvent(event)
        self._share_width()
        self.scrollToTop()
        self.scrollTo(self.currentIndex())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave letters and digits to the viewer's shortcuts; move with the arrow keys."""
        if event.text().isalnum():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer what can be done with the selected rows."""
        self.menu.popup(event.globalPos())

    def sizeHint(self) -> QSize:
        """Ask for room for the rows that were told."""
        return QSize(300, self.horizontalHeader().sizeHint().height() + self._room * ROW_HEIGHT + 4)

    def fit(self, height: int) -> None:
        """Ask for three to eight rows, the more the higher the dock is, in pixels."""
        rows = FEWEST + (height - LOW) // (2 * ROW_HEIGHT)
        self._room = max(FEWEST, min(MOST, rows))
        self.updateGeometry()

    def _show_columns(self) -> None:
        """Hide the columns that say nothing of any case yet."""
        predicted = any(
            row.uncertainty is not None or row.nothing_found  # of which the tooltip tells
            for row in self._rows
        )
        self.setColumnHidden(UNCERTAINTY, not predicted)
        self.setColumnHidden(DOMAIN, not any(row.domain for row in self._rows))
        self._share_width()

    def _share_width(self, *_: int) -> None:
        """Give case and domain what the other columns leave, the case's name first."""
        between = sum(self.columnWidth(column) for column in range(CASE + 1, DOMAIN))
        room = self.viewport().width() - between
        if not self.isColumnHidden(DOMAIN):
            heading = self.horizontalHeader().sectionSizeHint(DOMAIN)
            wanted = min(DOMAIN_MOST, max(heading, self.sizeHintForColumn(DOMAIN)))
            left = room - self.sizeHintForColumn(CASE)
            self.setColumnWidth(DOMAIN, max(DOMAIN_LEAST, min(wanted, left)))
        self.setColumnWidth(CASE, max(CASE_LEAST, room - self.columnWidth(DOMAIN)))

    def _choose(self, row: int, _column: int) -> None:
        if len(self.selected()) < 2:
            self.chosen.emit(self._rows[row].name)

    def _select(self, shown: str | None) -> None:
        self._shown = shown
        self.clearSelection()  # where several rows may be selected, `selectRow` adds to them
        names = [summary.name for summary in self._rows]
        if shown in names:
            self.selectRow(names.index(shown))

    def _fill(self, row: int, summary: CaseSummary) -> None:
        dice = "" if summary.dice is None else f"{summary.dice:.2f}"
        if summary.validation and summary.dice is None:
            dice = WAITING
        items = [QTableWidgetItem(text) for text in _texts(summary, dice)]
        for column, item in enumerate(items):
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            self.setItem(row, column, item)
        name, state, _, bar, agreement, domain = items
        name.setToolTip(summary.name)
        domain.setToolTip(summary.domain)
        state.setForeground(QColor(COLORS[summary.state]))
        agreement.setToolTip(WAITING_TIP if dice == WAITING else "")
        bar.setData(Qt.ItemDataRole.UserRole, summary.uncertainty)
        if summary.uncertainty is not None:
            bar.setToolTip(f"mean uncertainty {summary.uncertainty:.3f}")
        elif summary.nothing_found:
            bar.setToolTip("nothing found: the model draws no structure here")


def _texts(summary: CaseSummary, dice: str) -> tuple[str, ...]:
    slices = str(summary.slices or "")
    return (summary.name, str(summary.state), slices, "", dice, summary.domain)

"""Domains in the window: set for selected cases, seen, searched for, and asked for by methods."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QContextMenuEvent
from qtpy.QtWidgets import QApplication, QComboBox, QInputDialog, QLineEdit, QPushButton

from napari_sslseg.widgets.case_table import COLUMNS, DOMAIN, CaseTable
from napari_sslseg.widgets.method_choice import MISSING, advice, method_combo
from sslseg.core.annotation import SliceState
from sslseg.core.config import MethodInfo
from sslseg.core.events import CommandDone
from sslseg.core.geometry import Plane
from sslseg.storage.store import ProjectStore


def click(qtbot, table, row, modifier=Qt.KeyboardModifier.NoModifier):
    place = table.visualItemRect(table.item(row, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, place)


def set_domain(dock, text):
    """Choose the entry of the context menu, type a name and confirm."""
    dock.cases.table.menu.actions()[0].trigger()
    dialog = dock.findChildren(QInputDialog)[-1]
    offered = list(dialog.comboBoxItems())
    dialog.setTextValue(text)
    dialog.accept()
    return offered


def domains(project):
    with ProjectStore.open(project, read_only=True) as store:
        return {case.name: case.domain for case in store.cases()}


def texts(table, column):
    return [table.item(row, column).text() for row in range(table.rowCount())]


def test_selected_cases_get_a_domain_and_the_column_appears(labelling, qtbot, project):
    table = labelling.cases.table
    assert table.isColumnHidden(DOMAIN)
    click(qtbot, table, 1)
    click(qtbot, table, 2, Qt.KeyboardModifier.ControlModifier)
    assert table.selected() == ("ben", "carl")
    assert labelling.controller.view.case.name == "ben"  # the second click only selects
    assert set_domain(labelling, " site  B ") == []
    assert domains(project) == {"anna": "", "ben": "site B", "carl": "site B"}
    assert not table.isColumnHidden(DOMAIN)
    assert texts(table, DOMAIN) == ["", "site B", "site B"]
    assert table.selected() == ("ben", "carl")  # it stays for a second thought
    assert set_domain(labelling, "") == ["site B"]
    assert table.isColumnHidden(DOMAIN)


def test_cases_are_found_by_their_domain(labelling, qtbot):
    table = labelling.cases.table
    labelling.controller.set_domain(["carl"], "7 Tesla")
    labelling.findChild(QLineEdit).setText("tesla")
    assert [table.isRowHidden(row) for row in range(3)] == [True, True, False]
    table.selectAll()
    assert table.selected() == ("carl",)  # what is filtered away is not meant


def test_a_right_click_offers_the_entry(labelling, qtbot):
    table = labelling.cases.table
    entry = table.menu.actions()[0]
    assert (entry.objectName(), entry.text()) == ("set_domain", "Set domain…")
    event = QContextMenuEvent(
        QContextMenuEvent.Reason.Mouse, QPoint(5, 5), table.mapToGlobal(QPoint(5, 5))
    )
    QApplication.sendEvent(table.viewport(), event)
    qtbot.waitUntil(table.menu.isVisible, timeout=5000)
    table.menu.close()


def test_a_name_that_cannot_be_shown_is_told(labelling, project, monkeypatch):
    told = []
    monkeypatch.setattr("napari_sslseg.widgets.guard.show_error", told.append)
    set_domain(labelling, "a\x07b")
    assert "a domain named" in told[0]
    assert set(domains(project).values()) == {""}


def test_a_new_project_begins_without_the_selection_of_the_one_before(qtbot):
    from napari_sslseg.summaries import CaseSummary

    table = CaseTable()
    qtbot.addWidget(table)
    rows = [CaseSummary(name) for name in "abc"]
    table.set_value(rows, "a")
    table.selectAll()
    table.set_value([replace(row, slices=1) for row in rows], "a")
    assert table.selected() == ("a", "b", "c")
    table.set_value(rows, "b")  # another case is on the screen
    assert table.selected() == ("b",)
    table.selectAll()
    table.set_value([CaseSummary(name) for name in "xyz"], "x")
    assert table.selected() == ("x",)
    assert table.columnCount() == len(COLUMNS)


# ---- methods ----


def info(name, family, needs_domains=False):
    return MethodInfo(
        name=name,
        family=family,
        summary=f"{name} in a sentence.",
        source="s",
        parameters=(),
        needs_domains=needs_domains,
    )


OFFERED = (
    info("supervised", "Baseline"),
    info("mean-teacher", "Consistency"),
    info("co-training", "Co-training"),
    info("advent", "Domain adaptation", needs_domains=True),
    info("bcp", "Consistency"),
)


def test_methods_stand_under_headings_that_cannot_be_chosen(qtbot):
    combo = method_combo(OFFERED)
    qtbot.addWidget(combo)
    entries = [combo.itemText(i) for i in range(combo.count())]
    assert entries == [
        *("— Baseline —", "supervised"),
        *("— Consistency —", "mean-teacher", "bcp"),
        *("— Co-training —", "co-training"),
        *("— Domain adaptation —", "advent"),
    ]
    assert combo.currentText() == "bcp"
    combo.setCurrentText("co-training")
    assert combo.currentData() == "co-training"
    qtbot.keyClick(combo, Qt.Key.Key_Down)  # over the heading
    assert combo.currentData() == "advent"
    tip = combo.itemData(combo.currentIndex(), Qt.ItemDataRole.ToolTipRole)
    assert "Needs two domains." in tip
    assert combo.maxVisibleItems() == len(entries)


def test_a_method_says_what_the_project_lacks():
    adapting, plain = OFFERED[3], OFFERED[4]
    assert advice(adapting, 1) == f"advent in a sentence. Needs two domains. {MISSING}"
    assert advice(adapting, 2) == "advent in a sentence. Needs two domains."
    assert advice(plain, 1) == "bcp in a sentence."


@pytest.fixture
def adapting(monkeypatch):
    """Make `supervised` a method that needs two domains, in the window and in the engine."""
    from sslseg.core.catalogue import methods
    from sslseg.methods import find

    changed = [
        method.model_copy(update={"needs_domains": method.name == "supervised"})
        for method in methods()
    ]
    monkeypatch.setattr("napari_sslseg.widgets.train.methods", lambda: tuple(changed))
    monkeypatch.setattr(find("supervised"), "adapts", True)


def test_the_window_follows_the_domains_of_the_project(adapting, labelling):
    labelling.findChild(QComboBox, "method").setCurrentText("supervised")
    assert labelling.train.summary.text().endswith(MISSING)
    labelling.controller.set_domain(["ben"], "B")
    assert labelling.train.summary.text().endswith("Needs two domains.")


def test_window_and_command_line_refuse_in_the_same_words(
    adapting, make_napari_viewer, project, qtbot, monkeypatch
):
    from napari_sslseg._dock import SegmentationDock
    from sslseg import cli
    from sslseg.runner import InlineRunner
    from sslseg.session import Session
    from sslseg.worker import Desk

    with ProjectStore.open(project) as store:
        drawn = {5: (np.ones((24, 20), np.uint8), SliceState.COMPLETE)}
        store.save_slices("anna", Plane.AXIAL, drawn)
    err = io.StringIO()
    arguments = ["train", str(project), "--method", "supervised", "--steps", "1"]
    with redirect_stderr(err), pytest.raises(SystemExit):
        cli.main(arguments)
    assert "at least two domains" in err.getvalue()
    shown = []
    monkeypatch.setattr("napari_sslseg.notices.show_warning", shown.append)
    monkeypatch.setattr("napari_sslseg.notices.show_error", shown.append)
    desk = Desk(lambda path: Session(path, read_only=True))
    dock = SegmentationDock(make_napari_viewer(), lambda: InlineRunner(desk))
    qtbot.addWidget(dock)
    dock.open_project(project)
    told = []
    dock.controller.told.connect(told.append)
    dock.findChild(QComboBox, "method").setCurrentText("supervised")
    button = dock.findChild(QPushButton, "train")
    qtbot.waitUntil(button.isEnabled, timeout=20000)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: any(isinstance(e, CommandDone) and e.command == "train" for e in told),
        timeout=20000,
    )
    assert err.getvalue().strip() in shown
    dock.shut()
    desk.close()

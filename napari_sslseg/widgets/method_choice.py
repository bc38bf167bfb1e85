"""The choices of a method, under the headings of the families, and of a way to pre-train."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

from sslseg.core.catalogue import DEFAULT_METHOD, DEFAULT_PRETRAINING
from sslseg.core.config import MethodInfo

DISABLED = Qt.ItemDataRole.UserRole - 1
"""The role under which Qt's list models keep an entry's flags."""

MISSING = (
    "All cases of this project are of one: select those of the other in the list, "
    "right-click, Set domain…"
)


def method_combo(offered: tuple[MethodInfo, ...]) -> QComboBox:
    """Return a choice of methods; the heading of a family cannot be chosen."""
    combo = QComboBox()
    combo.setObjectName("method")
    combo.setToolTip("How the model learns from labelled and unlabelled volumes")
    for family in dict.fromkeys(method.family for method in offered):
        _add_heading(combo, family)
        for method in offered:
            if method.family == family:
                _add(combo, method)
    combo.setMaxVisibleItems(combo.count())
    combo.setCurrentIndex(combo.findData(DEFAULT_METHOD))
    return combo


def pretraining_combo(offered: tuple[MethodInfo, ...]) -> QComboBox:
    """Return a choice of ways to learn from images alone."""
    combo = QComboBox()
    combo.setObjectName("pretrain_method")
    for method in offered:
        _add(combo, method)
    combo.setCurrentIndex(combo.findData(DEFAULT_PRETRAINING))
    return combo


def tip(method: MethodInfo) -> str:
    """Return when to use a method, and where it was published."""
    return f"{method.advice}\nSource: {method.source}"


def advice(method: MethodInfo, domains: int) -> str:
    """Return when to use a method, and what a project with so many domains lacks for it."""
    lacking = method.needs_domains and domains == 1
    return f"{method.advice} {MISSING}" if lacking else method.advice


def _add(combo: QComboBox, method: MethodInfo) -> None:
    combo.addItem(method.name, method.name)
    combo.setItemData(combo.count() - 1, tip(method), Qt.ItemDataRole.ToolTipRole)


def _add_heading(combo: QComboBox, family: str) -> None:
    combo.addItem(f"— {family} —")
    # Qt has no headings in a combo box; an entry without flags cannot be chosen.
    combo.setItemData(combo.count() - 1, 0, DISABLED)

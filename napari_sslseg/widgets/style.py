"""Small things that all parts of the dock share: section, hint, chip, pill."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

PILLS = {
    "none": ("#3d4148", "#c9ced6"),
    "partial": ("#8a6d1f", "#fff3cf"),
    "complete": ("#23764a", "#dcffe9"),
}
"""Background and text colour of a slice's state."""

SHEET = """
QPushButton { padding: 3px 8px; }
QLabel#hint { color: #a7adb8; }
QPushButton#train { font-weight: 600; background: #2d6cb5; color: white; padding: 7px; }
QPushButton#train:hover { background: #3a7fd0; }
QPushButton#train:disabled { background: #2c3440; color: #77808c; }
QPushButton#stop { font-weight: 600; padding: 7px; }
QPushButton#stop:enabled { background: #a03b3b; color: white; }
QPushButton:checked { border: 1px solid #6ea8ff; }
"""


def button(
    text: str, tip: str, name: str = "", *, checkable: bool = False, parent: QWidget | None = None
) -> QPushButton:
    """Return a push button with a tooltip that does not keep the keyboard focus."""
    made = QPushButton(text, parent)
    made.setToolTip(tip)
    made.setObjectName(name)
    made.setCheckable(checkable)
    # Letters typed after a click belong to the viewer; Tab still reaches the button.
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return made


def hint(text: str = "", parent: QWidget | None = None) -> QLabel:
    """Return a quiet line of help that wraps."""
    label = QLabel(text, parent)
    label.setObjectName("hint")
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    label.setMinimumHeight(1)  # else Qt keeps room for lines of a narrower column
    return label


def chip_sheet(color: str) -> str:
    """Return the style of a class chip; the chosen one is framed."""
    return (
        f"QPushButton {{ background: {color}; color: {ink(color)}; border-radius: 9px;"
        " padding: 3px 7px; border: 2px solid transparent; }"
        "QPushButton:checked { border: 2px solid white; }"
    )


def ink(color: str) -> str:
    """Return black or white, whichever reads better on ``#rrggbb``."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"


class Pill(QLabel):
    """The state of a slice as a coloured word."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumWidth(74)
        self.set_value("none")

    def value(self) -> str:
        """Return the state shown."""
        return self.text()

    def set_value(self, state: str) -> None:
        """Show a state."""
        if state == self.text():
            return  # a new style sheet costs milliseconds, even if it says the same
        back, text = PILLS[state]
        self.setText(state)
        self.setStyleSheet(
            f"background: {back}; color: {text}; border-radius: 9px; padding: 3px 9px;"
        )


class Section(QFrame):
    """A part of the dock: a heading that folds it, and its content.

    What is `beside` the heading stays when the part is folded. With `aside` true the heading is
    left to the caller, to stand beside another one.
    """

    def __init__(
        self,
        title: str,
        content: QWidget,
        parent: QWidget | None = None,
        *,
        beside: QWidget | None = None,
        folded: bool = False,
        aside: bool = False,
    ) -> None:
        super().__init__(parent)
        self.content = content
        self.head = _heading()
        self._title = title
        self._folds = self if aside else content
        self.head.toggled.connect(self._fold)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        if not aside:
            layout.addLayout(_row(self.head, beside))
        layout.addWidget(content)
        self.head.setChecked(not folded)
        self._fold(not folded)

    def _fold(self, open_: bool) -> None:
        self.head.setText(("▾  " if open_ else "▸  ") + self._title)
        self._folds.setVisible(open_)


def _row(head: QPushButton, beside: QWidget | None) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(10)
    row.addWidget(head, 0 if beside else 1)
    if beside is not None:
        row.addWidget(beside, 1)
    return row


def _heading() -> QPushButton:
    head = button("", "Fold or unfold this part", checkable=True)
    head.setFlat(True)
    head.setStyleSheet(
        "QPushButton { text-align: left; font-weight: 600; padding: 2px; border: none;"
        " background: transparent; }"
    )
    return head

"""The parameters of a method as a form, built by magicgui from their types."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from magicgui.widgets import Container, Widget, create_widget
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_sslseg.widgets.style import Section, hint
from sslseg.core.config import MethodInfo, Parameter, Scalar
from sslseg.core.titles import title

TYPES = {"bool": bool, "int": int, "float": float, "str": str}
LIMIT = 1e6
HEADINGS = {
    "method": "This method",
    "training": "Network and training",
    "critic": "Discriminator",
}
"""Above the advanced parameters of a group."""

LABEL_ROOM = 1.3
"""The theme's font, not known yet when the form is made, may be wider."""


def field(parameter: Parameter) -> Widget:
    """Return the widget of one parameter, at its default."""
    pair = shlex.quote(f"{parameter.name}={parameter.default}")
    said = f"{parameter.help}\nOn the command line: --set {pair}"
    options: dict[str, Any] = {"tooltip": said}
    if parameter.choices:
        options["choices"] = parameter.choices
    elif parameter.type in ("int", "float"):
        low, high = parameter.minimum, parameter.maximum
        options["min"] = TYPES[parameter.type](-LIMIT if low is None else low)
        options["max"] = TYPES[parameter.type](LIMIT if high is None else high)
        if parameter.type == "float":
            options["step"] = _step(float(parameter.default))
    label = title(parameter.name)
    kind = TYPES[parameter.type]
    return create_widget(
        value=parameter.default, annotation=kind, name=parameter.name, label=label, options=options
    )


def _step(default: float) -> float:
    """Return a step of about a tenth of the default."""
    magnitude = f"{abs(default) / 10 or 0.01:.0e}"
    return float(f"1e{magnitude.split('e')[1]}")


class ParameterForm(QWidget):
    """Common parameters in sight, advanced ones folded away.

    What is set stays when another method is chosen: parameters that all methods share keep their
    values, and a method's own ones come back with it.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._containers: list[Container[Widget]] = []
        self._defaults: dict[str, Scalar] = {}
        self._method: MethodInfo | None = None
        self._shared: dict[str, Scalar] = {}
        self._own: dict[str, dict[str, Scalar]] = {}

    def set_method(self, method: MethodInfo) -> None:
        """Show the parameters of a method, as they were set before or at their defaults."""
        self._remember()
        self._clear()
        self._method = method
        self._defaults = {each.name: each.default for each in method.parameters}
        common = [each for each in method.parameters if not each.advanced]
        advanced = [each for each in method.parameters if each.advanced]
        if common:
            self._layout.addWidget(_aligned(self._form(common)))
        if advanced:
            section = Section("Advanced", _aligned(self._grouped(advanced)), folded=True)
            self._layout.addWidget(section)
        self.set_value(self._shared | self._own.get(method.name, {}))

    def value(self) -> dict[str, Scalar]:
        """Return the parameters that differ from their defaults."""
        return {
            name: value
            for container in self._containers
            for name, value in container.asdict().items()
            if value != self._defaults[name]
        }

    def set_value(self, values: dict[str, Scalar]) -> None:
        """Set some parameters by name."""
        for container in self._containers:
            container.update({name: v for name, v in values.items() if hasattr(container, name)})

    def _remember(self) -> None:
        """Keep what is set: shared parameters for every method, the others for this one."""
        if self._method is None:
            return
        own = {each.name for each in self._method.parameters if each.group == "method"}
        values = self.value()
        self._own[self._method.name] = {name: v for name, v in values.items() if name in own}
        for name in self._defaults.keys() - own:
            self._shared.pop(name, None)  # it may be at its default again
            if name in values:
                self._shared[name] = values[name]

    def _grouped(self, parameters: Sequence[Parameter]) -> QWidget:
        """Return one form below another, each under what it is about."""
        whole = QWidget()
        layout = QVBoxLayout(whole)
        layout.setContentsMargins(0, 0, 0, 0)
        for group, heading in HEADINGS.items():
            members = [each for each in parameters if each.group == group]
            if members:
                layout.addWidget(hint(heading))
                layout.addWidget(self._form(members))
        return whole

    def _form(self, parameters: Sequence[Parameter]) -> QWidget:
        container: Container[Widget] = Container(widgets=[field(each) for each in parameters])
        container.margins = (0, 0, 0, 0)
        self._containers.append(container)
        native: QWidget = container.native
        return native

    def _clear(self) -> None:
        self._containers.clear()
        while (item := self._layout.takeAt(0)) is not None:
            form = item.widget()
            if form is not None:
                form.setParent(None)
                form.deleteLater()


def _aligned(whole: QWidget) -> QWidget:
    """Give the labels before its fields one width."""
    labels = [label for label in whole.findChildren(QLabel) if label.objectName() != "hint"]
    widest = max((label.sizeHint().width() for label in labels), default=0)
    for label in labels:
        label.setFixedWidth(round(LABEL_ROOM * widest))
    return whole

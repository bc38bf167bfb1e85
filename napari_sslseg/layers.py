"""The five layers of a case: image, uncertainty, confidence, prediction, annotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap, ensure_colormap
from napari.utils.notifications import show_info
from psygnal import Signal

from sslseg.core.annotation import BACKGROUND, UNPAINTED
from sslseg.core.geometry import Array
from sslseg.core.prediction import Glimpse, Prediction
from sslseg.core.volume import ClassLabel, Volume

if TYPE_CHECKING:
    import napari.viewer

ORDER = ("image", "uncertainty", "confidence", "prediction", "annotation")
"""Bottom to top."""

NEEDED = ("image", "annotation")
"""A case cannot be worked on without these, so whoever bins one gets it back."""

BACKGROUND_COLOR = "#9e9e9e"
UNITS = ("mm", "mm", "mm")


def class_colormap(classes: tuple[ClassLabel, ...]) -> DirectLabelColormap:
    """Return the colours of the classes; unpainted is clear, painted background grey."""
    colors: dict[int | None, Any] = {label.value: label.color for label in classes}
    colors |= {None: "#ff00ff", UNPAINTED: "transparent", BACKGROUND: BACKGROUND_COLOR}
    return DirectLabelColormap(color_dict=colors)


def class_features(classes: tuple[ClassLabel, ...]) -> dict[str, list[Any]]:
    """Return the table from which napari's status bar names the class under the pointer."""
    return {
        "index": [UNPAINTED, *(label.value for label in classes), BACKGROUND],
        "class": ["unpainted", *(label.name for label in classes), "background"],
    }


def uncertainty_colormap() -> Colormap:
    """Return magma, clear where the model is sure."""
    colors = np.array(ensure_colormap("magma").map(np.linspace(0, 1, 64)))
    colors[:, 3] = np.clip(np.linspace(-0.1, 1.7, 64), 0, 1)
    return Colormap(colors, name="sslseg-uncertainty")


def confidence_colormap(threshold: float) -> Colormap:
    """Return viridis, clear where the discriminator's confidence is above `threshold`."""
    values = np.linspace(0, 1, 64)
    colors = np.array(ensure_colormap("viridis").map(values))
    colors[:, 3] = np.where(values <= threshold, 0.9, 0.0)
    return Colormap(colors, name="sslseg-confidence")


def contrast_limits(data: Array) -> tuple[float, float]:
    """Return the 0.5th and 99.5th percentile of the finite voxels, from at most a million."""
    step = max(1, round((data.size / 1e6) ** (1 / 3)))
    some = np.asarray(data[::step, ::step, ::step], np.float32)
    finite = some[np.isfinite(some)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    return (float(low), float(high) if high > low else float(low) + 1.0)


class CaseLayers:
    """Creates, refreshes and removes the layers of one case.

    The annotation layer's array is set once, at creation. A case that follows gets a new layer,
    so no undo step of one case can write into another. Emits `binned` when someone took a layer out
    of the viewer that the case needs, and `toggled` when a layer of the model is shown or hidden,
    by napari's eye too.
    """

    binned = Signal()
    toggled = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._layers: dict[str, Layer] = {}
        self._predicted: npt.NDArray[np.uint8] | None = None
        self._spacing = (1.0, 1.0, 1.0)
        self._classes: tuple[ClassLabel, ...] = ()
        self._threshold = 0.5
        self._shown = {"prediction": True, "uncertainty": False, "confidence": False}
        viewer.layers.events.removed.connect(self._binned)

    @property
    def annotation(self) -> Labels:
        """The layer that the human paints on."""
        layer = self._layers["annotation"]
        assert isinstance(layer, Labels)
        return layer

    @property
    def predicted(self) -> npt.NDArray[np.uint8]:
        """What a model says of the case as it is shown, ``(X, Y, Z)``; 0 where it says nothing."""
        if self._predicted is None:
            return np.zeros(self.image.shape, np.uint8)
        return self._predicted

    @property
    def image(self) -> Array:
        """The intensities of the case, ``(X, Y, Z)``."""
        return np.asarray(self._layers["image"].data)

    def all(self) -> tuple[Layer, ...]:
        """Return the layers of the case, bottom to top."""
        return tuple(self._layers[name] for name in ORDER if name in self._layers)

    def show(
        self,
        volume: Volume,
        labels: npt.NDArray[np.uint8],
        classes: tuple[ClassLabel, ...],
        editable: bool,
    ) -> None:
        """Replace the layers by those of another case, without prediction."""
        self.remove()
        self._spacing, self._classes = volume.geometry.spacing, classes
        limits = contrast_limits(volume.data)
        image = Image(volume.data, name="image", contrast_limits=limits, **self._grid())
        image.interpolation2d = "linear"
        annotation = Labels(labels, name="annotation", opacity=0.65, **self._grid())
        self._paint_classes(annotation)
        annotation.brush_size = max(1, round(min(labels.shape) / 12))
        self._add("image", image)
        self._add("annotation", annotation)
        annotation.editable = editable
        self.activate_brush()

    def set_classes(self, classes: tuple[ClassLabel, ...]) -> None:
        """Follow classes that were added: new colours and names, now and in predictions to come."""
        self._classes = classes
        for layer in self._layers.values():
            if isinstance(layer, Labels):
                self._paint_classes(layer)

    def activate_brush(self, value: int | None = None) -> None:
        """Make the annotation layer active and its brush ready, with class `value` if given."""
        layer = self.annotation
        if layer in self._viewer.layers:  # if not, it is about to be put back
            self._viewer.layers.selection.active = layer
        if layer.editable:
            layer.mode = "paint"
        if value is not None:
            layer.selected_label = value

    def show_prediction(self, prediction: Prediction) -> None:
        """Show new model output; the annotation layer is not touched."""
        self._show_labels(prediction.labels)
        self._refresh_map("uncertainty", prediction.uncertainty, uncertainty_colormap())
        if prediction.confidence is not None:
            colors = confidence_colormap(self._threshold)
            self._refresh_map("confidence", prediction.confidence, colors)
        elif "confidence" in self._layers:
            self._drop("confidence")

    def show_slices(self, glimpse: Glimpse) -> None:
        """Show some slices as a newer model sees them, in what is shown of the others."""
        labels = self.predicted.copy()  # the prediction itself stays as it is
        end = glimpse.first + len(glimpse.labels)
        np.moveaxis(labels, glimpse.plane.axis, 0)[glimpse.first : end] = glimpse.labels
        self._show_labels(labels)

    def visible(self, name: str) -> bool:
        """Tell whether a layer of the model is, or would be, shown."""
        return self._shown[name]

    def set_visible(self, name: str, visible: bool) -> None:
        """Show or hide a layer of the model, now and in the cases that follow."""
        self._shown[name] = visible
        if name in self._layers:
            self._layers[name].visible = visible
        self.toggled.emit()

    def set_threshold(self, threshold: float) -> None:
        """Show confidence only up to `threshold`, in [0, 1]."""
        self._threshold = threshold
        layer = self._layers.get("confidence")
        if isinstance(layer, Image):
            layer.colormap = confidence_colormap(threshold)

    def remove(self) -> None:
        """Take the layers of the case out of the viewer."""
        self._predicted = None
        for name in list(self._layers):
            self._drop(name)

    def forget(self) -> None:
        """Leave the layers to the viewer, whose window may be gone already."""
        self._viewer.layers.events.removed.disconnect(self._binned)
        self._layers.clear()

    def _grid(self) -> dict[str, Any]:
        return {"scale": self._spacing, "units": UNITS}

    def _paint_classes(self, layer: Labels) -> None:
        layer.colormap = class_colormap(self._classes)
        layer.features = class_features(self._classes)

    def _show_labels(self, labels: npt.NDArray[np.uint8]) -> None:
        self._predicted = labels
        layer = self._layers.get("prediction")
        if isinstance(layer, Labels):
            layer.data = labels
            layer.editable = False  # napari lets new data be painted on; the strokes would be lost
            return
        layer = Labels(labels, name="prediction", opacity=0.6, **self._grid())
        self._paint_classes(layer)
        layer.contour = 1
        layer.editable = False
        self._add("prediction", layer)

    def _refresh_map(self, name: str, values: npt.NDArray[np.float16], colors: Colormap) -> None:
        data = values.astype(np.float32)
        layer = self._layers.get(name)
        if isinstance(layer, Image):
            layer.data = data
            return
        layer = Image(data, name=name, contrast_limits=(0, 1), colormap=colors, **self._grid())
        layer.opacity = 0.7
        self._add(name, layer)

    def _add(self, name: str, layer: Layer) -> None:
        layer.visible = self._shown.get(name, True)
        below = [other for other in ORDER[: ORDER.index(name)] if other in self._layers]
        layers = self._viewer.layers
        index = layers.index(self._layers[below[-1]]) + 1 if below else 0
        active = layers.selection.active
        layers.insert(index, layer)
        self._layers[name] = layer
        if name in self._shown:
            layer.events.visible.connect(self._follow_eye)
        if active is not None and active in layers:
            layers.selection.active = active

    def restore(self) -> None:
        """Put back the layers that a case cannot be worked on without; nothing on them was lost."""
        gone = [
            name
            for name in NEEDED
            if name in self._layers and self._layers[name] not in self._viewer.layers
        ]
        for name in gone:
            self._add(name, self._layers.pop(name))
        if "annotation" in gone:
            self.activate_brush()
        if gone:
            show_info(f"Put back, since the case needs it: {' and '.join(gone)}.")

    def _binned(self, event: Any) -> None:
        """Someone else took a layer out: one of the model's is made anew when it is due."""
        name = next((n for n, layer in self._layers.items() if layer is event.value), None)
        if name in NEEDED:
            self.binned.emit()
        elif name is not None:
            del self._layers[name]

    def _follow_eye(self, event: Any = None) -> None:
        """Someone used napari's eye, or `set_visible` did."""
        shown = {n: layer.visible for n, layer in self._layers.items() if n in self._shown}
        if not shown.items() <= self._shown.items():
            self._shown |= shown
            self.toggled.emit()

    def _drop(self, name: str) -> None:
        layer = self._layers.pop(name)
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

"""Joins viewer, runner and store; knows no widget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info, show_warning
from psygnal import Signal

from napari_sslseg.adding import Adding
from napari_sslseg.background import Threads
from napari_sslseg.bridge import Bridge
from napari_sslseg.case_view import CaseView
from napari_sslseg.corrections import Corrections
from napari_sslseg.engine import Engine
from napari_sslseg.freshness import Freshness
from napari_sslseg.guide import Guide
from napari_sslseg.labels_adapter import Slices
from napari_sslseg.notices import Notices
from napari_sslseg.predictions import Predictions
from napari_sslseg.reading import good_annotation
from napari_sslseg.suggestions import SuggestionQueue, key_of
from napari_sslseg.summaries import Worklist
from sslseg.core.annotation import SliceKey
from sslseg.core.commands import Command, Open, Predict, Pretrain, ShowCase, Stop, Suggest, Train
from sslseg.core.errors import SslsegError
from sslseg.core.events import (
    Event,
    PredictionReady,
    RunFinished,
    RunStarted,
    SlicesPredicted,
    SuggestionsReady,
)
from sslseg.core.geometry import Plane
from sslseg.core.prediction import Prediction
from sslseg.core.suggestion import Suggestion
from sslseg.core.volume import CaseRecord
from sslseg.runner import ProcessRunner, Runner, RunnerStatus
from sslseg.storage.done import done_cases, mark_done
from sslseg.storage.store import ProjectStore

if TYPE_CHECKING:
    import napari.viewer


class Controller:
    """All that the dock can do, without a widget.

    Emits `project_changed` (another project, more cases, more classes), `case_changed`, `saved`
    (strokes reached the disk), `predicted` (the shown case has a new prediction), `told` (each
    event of the engine) and `status_changed` (of the runner).
    """

    project_changed = Signal()
    case_changed = Signal()
    saved = Signal()
    predicted = Signal(Prediction)
    told = Signal(object)
    status_changed = Signal(RunnerStatus)

    def __init__(
        self, viewer: napari.viewer.Viewer, make_runner: Callable[[], Runner] = ProcessRunner
    ) -> None:
        self.view = CaseView(viewer)
        self.view.failed.connect(self.report)
        self.worklist = Worklist()
        self.queue = SuggestionQueue()
        self._guide = Guide(self.view, self.queue)
        self.threads = Threads(self.report)
        self.background = self.threads.files
        self.corrections = Corrections(self.background)
        self._predictions = Predictions(
            self.view, self.worklist, self.threads, self.report, self.predicted.emit
        )
        self._adding = Adding(self.threads.adding, self.report, self._list_cases)
        self.store: ProjectStore | None = None
        self.saved_at: float | None = None
        self._engine = Engine(make_runner())
        self._bridge = Bridge(self._jobs, self.report, lambda: self.view.drawing)
        self._bridge.start()
        self._fresh = Freshness()
        self._notices = Notices()
        self.closed = False

    @property
    def status(self) -> RunnerStatus:
        """The runner's state, as of the last look."""
        return self._engine.status

    def awaits(self, *commands: str) -> bool:
        """Tell whether the engine was asked for one of these and has not said that it is done."""
        return self._engine.awaits(*commands)

    # ---- projects ----

    def new_project(self, path: Path, classes: Sequence[str]) -> None:
        """Make a project folder and open it."""
        self._write_strokes()
        ProjectStore.create(path, classes).close()
        self.open_project(path)

    def open_project(self, path: Path) -> None:
        """Open a project, warm the worker up, and show the first case that is not done.

        Raises
        ------
        SslsegError
            If it is no project, or strokes cannot be written; the one that was open stays open.
            A case that cannot be shown is reported, and the next one is.
        """
        from sslseg.storage.runs import predicted  # here: the dock opens without it

        self._write_strokes()
        store = ProjectStore.open(path)
        if self.store is not None and self.awaits("train", "pretrain", "simulate", "predict"):
            self.send(Stop())  # the next project does not wait for it
            show_info(f"Work on {self.store.path.name} was stopped; what it had done is kept.")
        self.close_project()
        self.store = store
        self.send(Open(project=str(store.path)))
        self._begin_worklist()
        self._fresh.reset(predicted(store.path, self.worklist.summaries))
        self._predictions.begin(store)
        self.corrections.begin(store)
        self.project_changed.emit()
        self._show_one(self.worklist.undone())
        if self.worklist.next_undone() is not None:
            self.send(Suggest())
        if store.read_only:
            show_warning(f"{store.refusal()} Until then it can be looked at but not changed.")

    def close_project(self) -> None:
        """Write what is not written and close the store; SslsegError if it cannot be written."""
        self._write_strokes()
        self.view.clear()
        self.threads.forget()
        if self.store is not None:
            self._adding.forget(self.store.path.name)
            self.store.close()
        self.store = self.saved_at = None
        self.worklist.reset()
        self.corrections.begin(None)
        self._guide.take(())

    def add_images(self, paths: Sequence[Path]) -> None:
        """Read image files or DICOM folders beside the window, and add them as cases."""
        if self.store is not None:
            self._adding.add(self.store, paths)

    def add_class(self, name: str) -> None:
        """Add a class to the project."""
        if self.store is not None:
            self.store.add_class(name)
            self.view.layers.set_classes(self.store.classes)
            self.project_changed.emit()

    # ---- cases and slices ----

    def show_case(self, name: str) -> None:
        """Show a case; strokes on the one before are on disk first.

        Raises
        ------
        SslsegError
            If its image is gone, unreadable or another one, or strokes on the case before cannot be
            written.
        """
        from sslseg.storage.sources import read_on_grid, refuse_changed

        self._write_strokes()
        store = self._open_store()
        record = store.case(name)
        path = store.source_path(name)
        volume = read_on_grid(path, record)
        save = None if store.read_only else self._saver(name)
        annotation = good_annotation(store, name, self.report)
        self.view.show(record, volume, annotation, store.classes, save)
        self._predictions.show(store, name)
        self._tell_place()
        self._fresh.show(name)
        self.case_changed.emit()
        # each byte, beside the window: on slow disks that takes a while
        check = partial(refuse_changed, path, record)
        self.threads.figures.submit(check, lambda _: None, partial(self._take_away, record))

    def _take_away(self, record: CaseRecord, error: Exception) -> None:
        """Labels must not be painted on an image that is not the case's."""
        if self.view.case is not None and self.view.case.name == record.name:
            self.view.clear()
            self.view.moved.emit()
        self.report(error)

    def show_next_undone(self) -> None:
        """Show the next other case that is not done and can be read; report one that cannot."""
        shown = None if self.view.case is None else self.view.case.name
        self._show_one([name for name in self.worklist.undone(shown) if name != shown])

    def _show_one(self, names: Sequence[str]) -> None:
        """Show the first case that can be read; report the first that cannot."""
        trouble: SslsegError | None = None
        for name in names:
            try:
                self.show_case(name)
                break
            except SslsegError as error:
                trouble = trouble or error
        if trouble is not None:
            self.report(trouble)

    def go_to(self, suggestion: Suggestion) -> None:
        """Show a suggested slice."""
        self.show_slice(key_of(suggestion))
        self.queue.visit(suggestion)
        self.view.layers.activate_brush()
        self.view.point_at(suggestion)
        self.queue.changed.emit()

    def show_slice(self, key: SliceKey) -> None:
        """Show one slice of any case."""
        if self.view.case is None or self.view.case.name != key.case:
            self.show_case(key.case)
        self.view.slices.set_plane(key.plane)
        self.view.slices.go_to(key.plane, key.index)

    def next_suggestion(self) -> bool:
        """Go to the next suggested slice; tell whether there is one."""
        self.view.flush()
        self._guide.leave()
        suggestion = self.queue.advance()
        if suggestion is not None:
            self.go_to(suggestion)
        return suggestion is not None

    def set_done(self, name: str, done: bool) -> None:
        """Mark a case as checked, or take it back."""
        store = self._open_store()
        names = {*self.worklist.done(), name} if done else {*self.worklist.done()} - {name}
        mark_done(store, names)
        self.worklist.mark_done(names)
        if done:
            self.queue.drop_case(name)

    def set_domain(self, names: Sequence[str], domain: str) -> None:
        """Say which scanner, site or sequence cases come from."""
        self._open_store().set_domain(names, domain)
        self._begin_worklist()

    # ---- the engine ----

    def send(self, command: Command) -> None:
        """Send a command once all strokes are on disk."""
        self.view.flush()
        if isinstance(command, Train | Pretrain):
            self._notices.begin()
        self._engine.send(command)
        self._look_at_status()

    def end_engine(self) -> None:
        """End an engine that does not answer; the next command starts it again."""
        self._engine.kill()

    def report(self, error: Exception) -> None:
        """Show a problem without stopping the work."""
        show_error(str(error))

    def close(self) -> None:
        """Write what is not written, close the store, end the worker; safe to call twice.

        The viewer is left as it is: its window may be gone already.
        """
        if self.closed:
            return
        self.closed = True
        self._bridge.stop()
        self.view.close()
        self.threads.close()
        if self.store is not None:
            self.store.close()
        self.store = None
        self._engine.close()

    # ---- what comes back ----

    def _jobs(self) -> Iterator[Callable[[], object]]:
        for event in self._engine.poll():
            yield partial(self._follow, event)
            yield partial(self._pass_on, event)
        yield self._tell_place
        yield self.threads.drain
        yield self._predict_shown_if_stale
        yield self._ask_for_more
        yield self._look_at_status

    def _concerns(self, event: Event) -> bool:
        return self._engine.concerns(event, None if self.store is None else self.store.path)

    def _pass_on(self, event: Event) -> None:
        if self._concerns(event):
            self.told.emit(event)

    def _follow(self, event: Event) -> None:
        self._engine.note(event)
        if not self._concerns(event):
            return
        if isinstance(event, PredictionReady) and self.store is not None:
            self._predicted(event.case, Path(event.folder))
        elif isinstance(event, SlicesPredicted):
            self._predictions.take_slices(event.case, Path(event.file))
        elif isinstance(event, SuggestionsReady):
            done = self.worklist.done()  # perhaps since they were asked for
            self._guide.take(tuple(one for one in event.suggestions if one.case not in done))
        elif isinstance(event, RunStarted):
            self._fresh.begin(event)
        elif isinstance(event, RunFinished):
            self._fresh.finish(None if self.view.case is None else self.view.case.name)
        self._notices.follow(event)

    def _predicted(self, case: str, folder: Path) -> None:
        store = self._open_store()
        if case not in self.worklist.summaries or store.path not in folder.parents:
            return  # of a project that was closed meanwhile; cases of both may share a name
        self._fresh.note(case)
        self._predictions.take(store, case, folder)

    def _tell_place(self) -> None:
        """Tell the engine which slice is on the screen."""
        case, slices = self.view.case, self.view.slices
        if case is not None:
            shown = ShowCase(case=case.name, plane=slices.plane, index=slices.index)
            self._engine.show(shown)

    def _predict_shown_if_stale(self) -> None:
        """Let the newest model look at the case on the screen; after a training it does by itself.

        That cannot be asked for once, when the case is shown: the engine may be at work then.
        """
        case = self.view.case
        if case is not None and self._engine.idle and self._fresh.claim(case.name):
            self.send(Predict(cases=(case.name,)))

    def _ask_for_more(self) -> None:
        """Fill the list of suggestions up; a training ends with new ones by itself."""
        idle = self._engine.idle and not self.awaits("suggest", "train")
        if self._guide.wants_more and idle:
            self._guide.wants_more = False
            self.send(Suggest())

    def _list_cases(self, last: bool) -> None:
        """Show new cases in the worklist; `last` when no more are coming."""
        self._begin_worklist()
        self.project_changed.emit()
        if self.view.case is None:
            self._show_one(self.worklist.undone())
        if last and self.worklist.next_undone() is not None:
            self.send(Suggest())

    def _saver(self, case: str) -> Callable[[Plane, Slices], None]:
        def save(plane: Plane, slices: Slices) -> None:
            store = self._open_store()
            seen = self.view.seen(plane, slices)
            model = seen.info.version if seen is not None else ""
            store.save_slices(case, plane, slices, model=model)
            self._saved(case, plane, slices)
            self.corrections.saved(store, case, plane, slices, seen)

        return save

    def _saved(self, case: str, plane: Plane, slices: Slices) -> None:
        self.saved_at = time.time()
        self._guide.saved(case, plane, slices)
        self.worklist.recount(case, self._open_store().slices(case))
        self.saved.emit()

    def _begin_worklist(self) -> None:
        store = self._open_store()
        self.worklist.reset({case.name: case.domain for case in store.cases()}, store.slices())
        self.worklist.mark_done(done_cases(store))

    def _write_strokes(self) -> None:
        if not self.view.flush():
            raise SslsegError(
                "strokes that could not be written yet",
                "every stroke on disk before going on",
                "Mend what the message before says; the strokes stay on the screen until then.",
            )

    def _look_at_status(self) -> None:
        if self._engine.changed():
            self.status_changed.emit(self._engine.status)

    def _open_store(self) -> ProjectStore:
        if self.store is None:
            raise SslsegError("no open project", "a project", "Open or make one first.")
        return self.store

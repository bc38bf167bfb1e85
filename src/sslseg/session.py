"""The one facade of the engine: open, annotate, train, predict, suggest, export.

Synchronous and in process. Long work is a generator of events that a `Control` can stop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import SliceRecord, SliceState
from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Compared, Event, FinishReason, PredictionReady, Progress
from sslseg.core.geometry import Plane, take_slice
from sslseg.core.prediction import CriticHealth
from sslseg.core.suggestion import Suggestion
from sslseg.core.volume import CaseRecord
from sslseg.data.drawn import undrawn_classes
from sslseg.export.formats import export
from sslseg.methods import find
from sslseg.scoring import Scoring
from sslseg.storage import arrays
from sslseg.storage.done import done_cases, gone
from sslseg.storage.images import describe, read_labels
from sslseg.storage.naming import domain_name
from sslseg.storage.remedy import lasting
from sslseg.storage.revisions import refuse_unknown
from sslseg.storage.runs import serving, unseen
from sslseg.storage.snapshot import Snapshot
from sslseg.storage.store import ProjectStore
from sslseg.suggest.selection import rank
from sslseg.suggest.strategies import strategy_named
from sslseg.suggest.views import CaseView, annotated_slices, held_out_case
from sslseg.training import loop, model, pretrained
from sslseg.training.baseline import baseline_of, watched
from sslseg.training.costs import Costs
from sslseg.training.device import choose
from sslseg.training.embeddings import read as read_embeddings
from sslseg.training.glimpse import first_look
from sslseg.training.prediction import predict_and_save, predict_case
from sslseg.training.pretrain import PretrainingRound
from sslseg.training.round import Round
from sslseg.training.trainer import Trainer


class Session:
    """Work on one project folder.

    Parameters
    ----------
    project : Path
        The folder.
    read_only : bool
        Never write annotations or cases; the worker's way. Runs and predictions are files of
        their own and are written all the same.

    Raises
    ------
    SslsegError
        When there is no project.
    """

    def __init__(self, project: Path, *, read_only: bool = False) -> None:
        self.store = ProjectStore.open(project, read_only=read_only)
        self._loaded: tuple[Trainer, model.ModelFacts] | None = None
        self._costs = Costs(None)  # of what is loaded

    @classmethod
    def create(cls, project: Path, classes: Sequence[str]) -> Self:
        """Make a new project folder with these classes and open it."""
        ProjectStore.create(project, classes).close()
        return cls(project)

    def close(self) -> None:
        """Let go of the project, and of the model in memory."""
        self._loaded = None
        self.store.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    # ---- cases and annotations ----

    def add(self, paths: Sequence[Path], control: Control, domain: str = "") -> Iterator[Event]:
        """Add image files or DICOM folders of one domain, all or none.

        Every file is read to its end before the project is touched, so that one bad file changes
        nothing.

        Raises
        ------
        SslsegError
            When a file cannot be read or its case name is taken.
        """
        records: list[CaseRecord] = []
        origin = {"domain": domain_name(domain)}
        for done, path in enumerate(paths):
            control.check()
            records.append(describe(path).model_copy(update=origin))
            yield Progress(task="Reading images", done=done + 1, total=len(paths))
        self.store.add_cases(records)

    def import_labels(
        self, case: str, file: Path, plane: Plane | None = None, slices: Sequence[int] = ()
    ) -> int:
        """Take slices of a label file as complete annotations; return how many.

        Parameters
        ----------
        case : str
            Name of the case.
        file : Path
            Labels on the case's grid, 0 background, 1.. classes.
        plane : Plane, optional
            None imports the whole volume, as complete axial slices.
        slices : sequence of int
            Slice numbers of `plane`; empty takes all.

        Raises
        ------
        SslsegError
            When the grid differs, a value has no class, or a slice does not exist.
        """
        record = self.store.case(case)
        labels = read_labels(file, record.geometry, record.reorientation)
        refuse_unknown(labels, self.store.classes, str(file))
        chosen_plane = plane or Plane.AXIAL
        count = record.geometry.slices(chosen_plane)
        wanted = list(dict.fromkeys(slices)) or list(range(count))
        for index in wanted:
            if not 0 <= index < count:
                raise SslsegError(
                    f"slice {index} of {case}",
                    f"{chosen_plane} slices from 0 to {count - 1}",
                    "Correct the slice number; nothing was imported.",
                )
        found = {
            index: (take_slice(labels, chosen_plane, index).copy(), SliceState.COMPLETE)
            for index in wanted
        }
        self.store.save_slices(case, chosen_plane, found, author=f"file {file.name}")
        return len(found)

    # ---- training and prediction ----

    def train(self, request: TrainRequest, control: Control) -> Iterator[Event]:
        """Train one round; the case on the screen is predicted along the way.

        With `request.baseline`, `supervised` is trained for as long afterwards and `Compared` says
        what came of both; predictions stay those of the method. Both learn from the project as it
        is now, and are measured on the same slices.

        Raises
        ------
        SslsegError
            When training cannot begin or go on; what was learnt before is kept.
        """
        beside = baseline_of(request) if request.baseline else None
        store = self.store if beside is None else Snapshot(self.store)
        current = Round(
            store,
            request,
            control,
            lambda trainer, facts: self._preview(trainer, facts, control),
        )
        measured, reason = yield from watched(loop.train(current.job(), control))
        if current.trainer.step_count:
            failed = reason is FinishReason.FAILED  # then the last checkpoint predicts
            self._loaded = None if failed else (current.trainer, current.facts())
            self._costs = Costs(None)
        if beside is not None and reason is FinishReason.COMPLETED:
            fresh = {"fresh": beside.fresh or current.before is None}
            other = Round(
                store,
                beside.model_copy(update=fresh),
                control,
                lambda *_: None,
                baseline=True,
                only=current.measured,
            )
            theirs, _ = yield from watched(loop.train(other.job(), control))
            fair = current.trainings == other.trainings
            yield Compared(method=current.method, measured=measured, baseline=theirs, fair=fair)

    def pretrain(self, request: TrainRequest, control: Control) -> Iterator[Event]:
        """Learn from the images alone; later trainings start from what was learnt.

        Raises
        ------
        SslsegError
            When it cannot begin or go on; what was learnt before is kept.
        """
        yield from loop.train(PretrainingRound(self.store, request, control).job(), control)

    def predict(self, cases: Sequence[str], control: Control) -> Iterator[Event]:
        """Predict these cases (all where empty), the one on the screen first.

        Raises
        ------
        SslsegError
            When there is no model, or a case is unknown; at once where predictions cannot be
            written; or, once the other cases are predicted, when one could not be.
        Cancelled
            When the control asks for it; predictions already made stay.
        """
        known = [record.name for record in self.store.cases()]
        wanted = [self.store.case(name).name for name in cases] or known
        yield from self._predict_each(wanted, control)

    def _predict_each(self, cases: Sequence[str], control: Control) -> Iterator[Event]:
        """Predict, the case on the screen first; what went wrong with one is told at the end."""
        trainer, facts = self._model()
        waiting, failed = list(cases), list[SslsegError]()
        while waiting:
            control.check()
            screen = control.screen
            name = screen[0] if screen[0] in waiting else waiting[0]
            waiting.remove(name)
            try:
                if name == screen[0]:
                    predictor = trainer.predictor()
                    yield from first_look(
                        self.store, predictor, facts, screen, control, self._costs
                    )
                yield predict_and_save(self.store, trainer, facts, name, control)
            except SslsegError as error:
                if lasting(error):
                    raise
                failed.append(error.with_traceback(None))  # which holds the case
            done = len(cases) - len(waiting)
            yield Progress(task="Predicting", done=done, total=len(cases))
        if failed:
            raise failed[0]

    def segment(self, store: ProjectStore, case: str, control: Control) -> npt.NDArray[np.uint8]:
        """Return what the newest model says of a case of another project, ``(X, Y, Z)``.

        Nothing is written but the cache of the other project.
        """
        trainer, facts = self._model()
        prediction, _, _ = predict_case(store, trainer, facts, case, control)
        return prediction.labels

    def _model(self) -> tuple[Trainer, model.ModelFacts]:
        newest = next(serving(self.store.path), None)
        if self._loaded and newest and newest.name == self._loaded[1].run:
            return self._loaded
        self._loaded = model.load(self.store.path, choose(DeviceChoice.AUTO))
        self._costs = Costs(None)
        return self._loaded

    def _preview(
        self, trainer: Trainer, facts: model.ModelFacts, control: Control
    ) -> PredictionReady | None:
        if control.shown is None:
            return None
        try:
            return predict_and_save(self.store, trainer, facts, control.shown, control)
        except SslsegError:
            return None  # training goes on; the prediction after it tells what is wrong

    # ---- what next, how good, and out ----

    def suggest(
        self, count: int = 10, strategy: str = "auto", seed: int = 0
    ) -> tuple[Suggestion, ...]:
        """Return the slices worth labelling next, best first; none of cases marked as done.

        Without any prediction: diverse cases and spread slices, as every second one is for a while
        where a class was never drawn. `seed` matters to the strategies that draw at random.

        Raises
        ------
        SslsegError
            For an unknown strategy, or in a project without cases.
        """
        records, cases = self.store.slices(), self.store.cases()
        folder, lost = pretrained.folder_of(self.store.path), gone(self.store)
        learnt = read_embeddings(folder, {each.name for each in cases} - lost)
        newest = model.load_facts(self.store.path)
        done = done_cases(self.store) | lost
        # a training that does not measure learns from held-out slices as from others
        measured = newest is None or bool(newest.request.settings.get("validation", True))
        views = [
            self._view(
                record,
                records,
                learnt.get(record.name) or record.features,
                measured=measured,
                done=done,
            )
            for record in cases
        ]
        if not views:
            raise SslsegError("no case in the project", "at least one", "Add volumes first.")
        return tuple(
            rank(
                views,
                count,
                strategy,
                classes=[label.name for label in self.store.classes],
                parties=find(newest.method).parties if newest else "",
                seed=seed,
                round_number=model.rounds(self.store.path) + 1,
                undrawn=undrawn_classes(self.store, records),
                known=newest.classes if newest else (),
            )
        )

    def _view(
        self,
        record: CaseRecord,
        slices: Sequence[SliceRecord],
        features: Sequence[float],
        *,
        measured: bool,
        done: Collection[str],
    ) -> CaseView:
        folder = arrays.latest_prediction(self.store.path, record.name)
        return CaseView(
            name=record.name,
            geometry=record.geometry,
            annotated=annotated_slices(slices, record.name),
            scores=arrays.load_scores(folder) if folder else None,
            features=np.array(features) if features else None,
            critic=arrays.load_info(folder).critic if folder else CriticHealth(),
            held_out=measured and held_out_case(slices, record.name),
            done=record.name in done,
        )

    def catch_up(self, strategy: str, control: Control) -> Iterator[Event]:
        """Predict the cases that a strategy needs and that the newest model has not seen.

        Raises
        ------
        SslsegError
            For an unknown strategy; or, once the other cases are predicted, when one could not be.
        Cancelled
            When the control asks for it; predictions already made stay.
        """
        if strategy_named(strategy).score is None:
            return
        names = unseen(self.store.path, [record.name for record in self.store.cases()])
        if names:
            yield from self._predict_each(names, control)

    def scoring(self, labels: Path, cases: Sequence[str] = ()) -> Scoring:
        """Return a comparison of predictions with true labels, checked and ready to be made.

        Parameters
        ----------
        labels : Path
            One label file per case, named like the image.
        cases : sequence of str
            Empty takes every case that has both a prediction and a label file.

        Raises
        ------
        SslsegError
            When an asked case lacks one of them, or no case has both.
        """
        return Scoring(self.store, labels, cases)

    def evaluate(self, labels: Path, cases: Sequence[str] = ()) -> dict[str, Any]:
        """Make the comparison of `scoring`, and return what it came to."""
        scoring = self.scoring(labels, cases)
        for _ in scoring.events(Control()):
            pass
        return scoring.found

    def export(self, out: Path, form: str, what: str, control: Control) -> Iterator[Event]:
        """Write predictions or annotations in a format that others read.

        Parameters
        ----------
        out : Path
            A folder; made if missing.
        form : str
            A name in `sslseg.export.formats.FORMATS`.
        what : str
            "predictions" or "annotations".

        Raises
        ------
        SslsegError
            For an unknown format or content, where a file is in the way, or when there is nothing
            to write.
        """
        yield from export(self.store, out, form, what, control)

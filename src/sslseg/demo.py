"""The program on its own sample volumes, as pictures and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from skimage.io import imsave

from sslseg import pictures
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event, Exported, RunFinished, RunStarted, Validated
from sslseg.core.words import counted
from sslseg.session import Session
from sslseg.storage.arrays import latest_prediction, load_prediction
from sslseg.storage.images import read_volume
from sslseg.storage.samples import make_sample_project
from sslseg.storage.schema import DATABASE

Tell = Callable[[str], None]


def headless(out: Path, minutes: float, tell: Tell) -> tuple[Path, ...]:
    """Go once round the loop without a screen: label, train, predict, suggest, export, look.

    Parameters
    ----------
    out : Path
        Receives ``project/``, ``masks/`` and ``pictures/``. A project that is there already is
        trained further.
    minutes : float
        How long to train.
    tell : callable
        Receives each line of the story.

    Returns
    -------
    tuple of Path
        The masks and pictures written.
    """
    project, control = out / "project", Control()
    if not (project / DATABASE).exists():
        make_sample_project(project)
    with Session(project) as session:
        cases, slices = len(session.store.cases()), len(session.store.slices())
        told = f"{counted(cases, 'case')}, {counted(slices, 'slice')} labelled in all"
        tell(f"{project}: {told}")
        _follow(session.train(TrainRequest(minutes=minutes), control), tell)
        _follow(session.predict((), control), tell)
        for suggestion in session.suggest(3, "auto"):
            place = f"{suggestion.case}, {suggestion.plane} slice {suggestion.slice}"
            tell(f"Label next: {place}: {suggestion.reason}")
        masks = _follow(session.export(out / "masks", "nifti", "predictions", control), tell)
        drawn = tuple(_draw(session, case.name, out / "pictures") for case in session.store.cases())
    tell(f"{len(masks)} masks in {out / 'masks'}, {len(drawn)} pictures in {out / 'pictures'}")
    return (*masks, *drawn)


def _follow(events: Iterator[Event], tell: Tell) -> tuple[Path, ...]:
    """Tell the events that matter in a story; return the files that were written."""
    files: tuple[Path, ...] = ()
    for event in events:
        match event:
            case RunStarted():
                tell(f"Training {event.method} on {event.device}. {' '.join(event.plan)}")
            case Validated(mean=float()):
                tell(f"Step {event.step}: {event.words} on held-out slices")
            case RunFinished():
                steps = counted(event.step, "step")
                tell(f"{steps} in {event.seconds:.0f} s. {event.message}".rstrip())
            case Exported():
                files += tuple(Path(file) for file in event.files)
    return files


def _draw(session: Session, case: str, folder: Path) -> Path:
    """Draw image, prediction and uncertainty of a case side by side, where most was found."""
    found = latest_prediction(session.store.path, case)
    if found is None:
        raise SslsegError(f"no prediction of {case}", "one for every case", "Run the demo again.")
    prediction = load_prediction(found)
    volume = read_volume(session.store.source_path(case))
    found_in = (prediction.labels > 0).sum(axis=(0, 1))
    index = int(found_in.argmax()) if found_in.any() else len(found_in) // 2
    colors = [label.color for label in session.store.classes]
    grey = pictures.grey(volume.data[:, :, index])
    panels = (
        grey,
        pictures.overlay(grey, prediction.labels[:, :, index], colors),
        pictures.heat(prediction.uncertainty[:, :, index]),
    )
    path = folder / f"{case}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, pictures.side_by_side(panels), check_contrast=False)
    return path

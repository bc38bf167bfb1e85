"""What each method says of one and the same slice: pages with pictures, a page for each family.

    python benchmarks/pictures.py

Needs no data: the project is the sample's, six labelled slices in two of its eight volumes. Every
method trains on it for two minutes; a slice of a volume that nobody labelled is then drawn, with
uncertainty and confidence. For domain adaptation four of the volumes, that one included, are
blurred and their dark tissue brightened. One volume and one seed tell what results look like, not
which method is better: that is what methods.py is for.

Pictures go to docs/images/methods, pages to docs/pictures. A finished method is not run again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import Json, alone, attempt, options, request_of, shown
from domain_shift import SOURCE, TARGET, fogged, write_shifted
from protocol import trained
from skimage.io import imsave

from sslseg import pictures
from sslseg.core.catalogue import methods, pretraining_methods
from sslseg.core.config import DeviceChoice, MethodInfo, TrainRequest
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.core.words import counted
from sslseg.data.preprocessing import load_prepared
from sslseg.data.slabs import slab
from sslseg.session import Session
from sslseg.storage.arrays import latest_prediction, load_prediction
from sslseg.storage.images import read_labels, read_volume
from sslseg.storage.samples import SAMPLE_CLASSES, make_sample_project, sample_folder
from sslseg.training import model
from sslseg.training.device import choose

FILE = "pictures.jsonl"
ROOT = Path(__file__).parents[1]
IMAGES, PAGES = ROOT / "docs" / "images" / "methods", ROOT / "docs" / "pictures"
SHOWN = "sample_05"
"""Nobody labelled it; it is one of those with another contrast, where there are two domains."""

PRETRAINING = "Pre-training"
GENERATORS = ("generator_target", "generator_source")


@dataclass(frozen=True)
class Arm:
    """A row of a page. `domains`: half of the volumes have another contrast."""

    method: str
    family: str
    summary: str
    source: str
    domains: bool = False
    pretraining: str = ""

    @property
    def name(self) -> str:
        """Of its picture."""
        return self.pretraining or self.method + ("-two-domains" if self._baseline else "")

    @property
    def title(self) -> str:
        """As the page calls it."""
        return f"`{self.method}` after `{self.pretraining}`" if self.pretraining else self.method

    @property
    def _baseline(self) -> bool:
        return self.domains and self.method == "supervised"


def arms() -> list[Arm]:
    """Return all methods, and supervised learning after each way to learn from images alone."""

    def arm(info: MethodInfo, method: str, **how: object) -> Arm:
        return Arm(method, info.family, info.summary, info.source, **how)  # type: ignore[arg-type]

    supervised = next(info for info in methods() if info.name == "supervised")
    found = [arm(info, info.name, domains=info.needs_domains) for info in methods()]
    found.append(arm(supervised, "supervised", domains=True))
    return found + [
        Arm("supervised", PRETRAINING, info.summary, info.source, pretraining=info.name)
        for info in pretraining_methods()
    ]


# ---- running ----


def true_masks(folder: Path) -> Path:
    """Write the masks of all sample volumes, which the project lacks; return the folder."""
    script = sample_folder() / "make_sample_data.py"
    subprocess.run([sys.executable, str(script), "--all-masks", str(folder)], check=True)
    return folder


def two_domains(folder: Path) -> None:
    """Make the sample project with the last four volumes as of another scanner."""
    images = sorted((sample_folder() / "images").glob("*.nii.gz"))
    names = [image.name.removesuffix(".nii.gz") for image in images]
    make_sample_project(folder / "plain")
    with (
        Session(folder / "plain") as plain,
        Session.create(folder / "project", SAMPLE_CLASSES) as session,
    ):
        list(session.add(images[:4], Control(), SOURCE))
        changed = write_shifted(sample_folder(), names[4:], folder / "changed", fogged)
        list(session.add(changed, Control(), TARGET))
        for record in plain.store.slices():
            where = record.key
            file = sample_folder() / "labels" / (where.case + ".nii.gz")
            session.import_labels(where.case, file, where.plane, [where.index])


def run(request: TrainRequest, arm: Arm, threads: int) -> Json:
    """Train, predict the shown volume and draw it."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arm.domains:
            two_domains(folder)
        else:
            make_sample_project(folder / "project")
        with Session(folder / "project") as session:
            if arm.pretraining:
                first = request.model_copy(update={"method": arm.pretraining})
                list(session.pretrain(first, Control()))
            result = trained(session, request, threads)
            list(session.predict([SHOWN], Control()))
            scores = session.evaluate(true_masks(folder / "masks"), [SHOWN])
            words = draw(session, arm, folder / "masks")
            if arm.method == "cycada":
                draw_translations(session)
    return result | {"dice": scores["mean"]["all"]["dice"], "critic": words}


# ---- drawing ----


def draw(session: Session, arm: Arm, masks: Path) -> str:
    """Draw prediction, uncertainty and confidence; return what is known of the discriminator."""
    record = session.store.case(SHOWN)
    folder = latest_prediction(session.store.path, SHOWN)
    assert folder is not None
    prediction = load_prediction(folder)
    truth = read_labels(masks / (SHOWN + ".nii.gz"), record.geometry, record.reorientation)
    index = int((truth > 0).sum(axis=(0, 1)).argmax())
    colors = [label.color for label in session.store.classes]
    grey = pictures.grey(read_volume(session.store.source_path(SHOWN)).data[:, :, index])
    belief = prediction.confidence
    panels = [
        pictures.overlay(grey, prediction.labels[:, :, index], colors),
        pictures.heat(prediction.uncertainty[:, :, index]),
        pictures.heat(np.zeros(grey.shape[:2]) if belief is None else belief[:, :, index]),
    ]
    save(f"{arm.name}.png", panels)
    domain = "two-domains" if arm.domains else "one-domain"
    save(f"truth-{domain}.png", [grey, pictures.overlay(grey, truth[:, :, index], colors)])
    return prediction.info.critic.words


def draw_translations(session: Session) -> None:
    """Draw a slice of each domain, redrawn in the style of the other, and drawn back."""
    trainer, facts = model.load(session.store.path, choose(DeviceChoice.AUTO))
    for case, order in (("sample_01", GENERATORS), (SHOWN, GENERATORS[::-1])):
        image = load_prepared(session.store, session.store.case(case), facts.plan.spacing).image
        axis = Plane.AXIAL.axis if facts.plan.axis is None else facts.plan.axis
        x = torch.from_numpy(slab(image, axis, image.shape[axis] // 2, facts.plan.context)[None])
        drawn = [x]
        with torch.no_grad():
            for generator in order:
                drawn.append(trainer.nets[generator](drawn[-1]))
        middle = facts.plan.context // 2
        panels = [pictures.grey(each[0, middle].float().numpy()) for each in drawn]
        save(f"cycada-{'source' if case != SHOWN else 'target'}.png", panels)


def save(name: str, panels: Sequence[pictures.Picture]) -> None:
    """Write panels side by side."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    imsave(IMAGES / name, pictures.side_by_side(panels, zoom=4), check_contrast=False)


# ---- pages ----


def page(family: str, found: dict[Arm, Json], minutes: str) -> str:
    """Return a family's page, the baseline first."""
    mine = {arm: result for arm, result in found.items() if arm.family == family}
    domains = any(arm.domains for arm in mine)
    baseline = {
        arm: result
        for arm, result in found.items()
        if (arm.method, arm.pretraining, arm.domains) == ("supervised", "", domains)
    }
    domain = "two-domains" if domains else "one-domain"
    lines = [
        f"# {family}: what the results look like",
        "",
        "Made by `python benchmarks/pictures.py` from the sample volumes: six labelled slices, "
        f"{minutes}, one seed. The slice",
        f"below is from {SHOWN}, which nobody labelled. From left to right in each picture: "
        "prediction, uncertainty, confidence of the",
        "discriminator (dark is 0, bright is 1). Dice is that of the whole volume: what a method "
        "draws in other slices counts, and is not",
        "seen here. One volume does not tell which method is better "
        "([benchmarks](../benchmarks.md)).",
        "",
        "The image, and the truth:",
        "",
        f"![image and truth](../images/methods/truth-{domain}.png)",
    ]
    for arm, result in (baseline | mine).items():
        lines += ["", f"## {arm.title}", "", f"{arm.summary} *{arm.source}*", ""]
        lines += [f"![{arm.title}](../images/methods/{arm.name}.png)", ""]
        lines += [f"Dice {shown(result['dice'], 2)}, {result['steps']} steps. {result['critic']}"]
        if arm.method == "cycada":
            lines += ["", *translations()]
    return "\n".join(lines) + "\n"


def translations() -> Iterable[str]:
    """Return the lines about CyCADA's redrawn images."""
    for side, other in ((SOURCE, TARGET), (TARGET, SOURCE)):
        yield f"A slice of the {side} domain, redrawn as {other}, and drawn back:"
        yield ""
        yield f"![{side} to {other} and back](../images/methods/cycada-{side}.png)"
        yield ""


def main() -> None:
    """Run what is missing and write the pages."""
    parser: argparse.ArgumentParser = options(__doc__, minutes=2.0, seeds=[0])
    args = parser.parse_args()
    found: dict[Arm, Json] = {}
    for arm in arms():
        request = request_of(args, arm.method, args.seeds[0], {})
        key = {"request": request.model_dump(mode="json"), "name": arm.name}
        one = partial(alone, run, request, arm, args.threads)
        result = attempt(FILE, key, one, only_kept=args.table)
        if result is not None:
            found[arm] = result
            print(f"{arm.family}, {arm.name}: Dice {result['dice']:.3f}", flush=True)
    length = f"{args.steps} steps" if args.steps else f"{args.minutes:g} minutes"
    length += f" on {counted(args.threads, 'thread')}"
    PAGES.mkdir(parents=True, exist_ok=True)
    for family in sorted({arm.family for arm in found} - {"Baseline"}):
        file = PAGES / f"{family.lower().replace(' ', '-')}.md"
        file.write_text(page(family, found, length), encoding="utf-8")
        print(f"wrote docs/pictures/{file.name}")


if __name__ == "__main__":
    main()

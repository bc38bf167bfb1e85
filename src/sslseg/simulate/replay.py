"""One arm, round by round: label, train, predict, score; goes on where it was ended.

An arm has a project of its own under ``PROJECT/simulations/`` and one line for each finished
round in ``PROJECT/simulation-<name>.jsonl``. What a round will label is written down before the
first slice is drawn, and what an unfinished training left is taken away, so that an arm that was
killed ends like one that was not.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from sslseg.core.annotation import SliceKey, SliceState
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import ArmCurve, Event, Progress
from sslseg.core.geometry import take_slice
from sslseg.core.seeds import derived
from sslseg.core.suggestion import Suggestion
from sslseg.core.words import counted
from sslseg.evaluation import dice
from sslseg.session import Session
from sslseg.simulate.arms import Arm, Dice, Round, averaged, curve, digest
from sslseg.simulate.effort import effort
from sslseg.simulate.world import World, make_project
from sslseg.storage.arrays import latest_prediction, load_array, load_info, shrink_predictions
from sslseg.storage.schema import DATABASE
from sslseg.storage.store import ProjectStore
from sslseg.suggest.strategies import strategy_named
from sslseg.terminal import Summary

AUTHOR = "simulated annotator"
DOUBT, UNCERTAINTY = "doubt", "uncertainty"


class Choice(BaseModel):
    """A slice to be labelled, and the effort of it with the prediction that was there then.

    `instead` is the strategy that chose it where the arm's own could not, else "".
    """

    model_config = ConfigDict(frozen=True)
    key: SliceKey
    model: str
    seconds: float
    drawn_mm: float
    accepted: bool
    instead: str = ""


_CHOICES = TypeAdapter(list[Choice])


class Replay:
    """Plays one arm; `rounds` holds what is finished, `pool` the cases of its project.

    Parameters
    ----------
    world : World
        The cases.
    arm : Arm
        How they are labelled and learnt from.
    """

    def __init__(self, world: World, arm: Arm) -> None:
        self.arm = arm
        self._world = world
        self.pool = world.pool(arm.seed)
        name = digest([arm.facts(), world.facts()])
        self.folder = world.project / "simulations" / name
        self._log = world.project / f"simulation-{name}.jsonl"
        self.rounds = _rounds_in(self._log)[: arm.request.rounds]

    @property
    def complete(self) -> bool:
        """Whether all rounds are finished."""
        return len(self.rounds) == self.arm.request.rounds

    @property
    def curve(self) -> ArmCurve:
        """What the finished rounds came to."""
        return curve(self.arm, self.rounds)

    @property
    def words(self) -> str:
        """What the last finished round came to."""
        arm, curve = self.arm, self.curve
        value = "undefined" if curve.dice[-1] is None else f"{curve.dice[-1]:.3f}"
        instead = self.rounds[-1].instead
        chosen = f" Chosen by {instead}: no discriminator could be believed." if instead else ""
        return (
            f"{curve.name}, seed {arm.seed}, round {len(self.rounds)} of {arm.request.rounds}: "
            f"{counted(curve.slices[-1], 'slice')} in {curve.minutes[-1]:.1f} minutes, "
            f"Dice {value}.{chosen}"
        )

    def __enter__(self) -> Self:
        """Open the arm's project, made if it is not there, as the last finished round left it.

        Raises
        ------
        SslsegError
            When another process plays the same arm.
        """
        if not (self.folder / DATABASE).exists():  # finished rounds are worth nothing without it
            self.rounds = []
            self._log.unlink(missing_ok=True)
        make_project(self.folder, self._world, self.pool)
        self._session = Session(self.folder)
        if self._session.store.read_only:
            self._session.close()
            raise SslsegError(
                f"a simulation that is being played already, in {self.folder}",
                "one process for each strategy, method and seed",
                "Wait for the other one, or stop it.",
            )
        kept = {one.run for one in self.rounds}
        for run in self.folder.glob("runs/*"):
            if run.name not in kept:
                shutil.rmtree(run)
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        if self.complete:
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
            shrink_predictions(self.folder)

    def next_round(self, control: Control) -> Iterator[Event]:
        """Play one more round; the events are those of its training and predictions.

        Raises
        ------
        SslsegError
            When the training fails.
        Cancelled
            When the control asks for it; the round is played again next time.
        """
        number = len(self.rounds) + 1
        choices = self._chosen(number)
        self._draw(choices)
        summary = Summary()
        for event in self._session.train(self.arm.training(number), control):
            summary.note(event)
            yield event
        control.check()
        if summary.failure:
            raise SslsegError(
                f"a training that failed: {summary.failure}", "one that ends well", "Try again."
            )
        if not self._ends(number):
            yield from self._session.predict((), control)
        cases = yield from self._scored(control)
        facts = summary.training()
        one = Round(
            round=number,
            slices=tuple(choice.key for choice in choices),
            annotated=len(self._session.store.slices()),
            annotation_seconds=round(sum(choice.seconds for choice in choices), 1),
            drawn_mm=round(sum(choice.drawn_mm for choice in choices), 1),
            accepted=sum(choice.accepted for choice in choices),
            instead=next((choice.instead for choice in choices), ""),
            run=facts["run"],
            steps=facts["steps"],
            device=facts["device"],
            train_seconds=facts["seconds"],
            cases=cases,
            dice=averaged(cases, self._world.classes),
        )
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(one.model_dump_json() + "\n")
        self.rounds = [*self.rounds, one]

    def _ends(self, number: int) -> bool:
        """Tell whether nobody will ask what the model of this round says of the pool.

        An arm whose last round has a length of its own is never continued.
        """
        last = number == self.arm.request.rounds and self.arm.request.last_minutes is not None
        return last and bool(self._world.kept_out)

    def _chosen(self, number: int) -> list[Choice]:
        """Return what a round labels: as written down, or chosen and written down now."""
        store, setting = self._session.store, f"round-{number}"
        written = store.setting(setting)
        if written is not None:
            return _CHOICES.validate_python(written)
        count, seed = self.arm.request.slices, derived(self.arm.seed, number, "suggestions")
        found, instead = self._suggested(count, seed)
        choices = [self._weighed(suggestion, instead) for suggestion in found]
        store.set_setting(setting, _CHOICES.dump_python(choices, mode="json"))
        return choices

    def _suggested(self, count: int, seed: int) -> tuple[Sequence[Suggestion], str]:
        """Return the slices to label, and which strategy chose them where not the arm's own.

        Whether a discriminator is healthy shows in the middle of a simulation only: what "doubt"
        cannot choose then, "uncertainty" does, as a user would go on. All other arms are played.
        """
        strategy = self.arm.strategy
        try:
            return self._session.suggest(count, strategy, seed), ""
        except SslsegError:
            if strategy_named(strategy).base != DOUBT:
                raise
        instead = strategy.replace(DOUBT, UNCERTAINTY, 1)
        return self._session.suggest(count, instead, seed), instead

    def _weighed(self, found: Suggestion, instead: str) -> Choice:
        truth = take_slice(self._world.truth(found.case), found.plane, found.slice)
        folder = latest_prediction(self.folder, found.case)
        said = (
            take_slice(load_array(folder, "labels"), found.plane, found.slice) if folder else None
        )
        spacing = list(self._world.cases[found.case].geometry.spacing)
        del spacing[found.plane.axis]
        spent = effort(truth, said, (spacing[0], spacing[1]))
        return Choice(
            key=SliceKey(case=found.case, plane=found.plane, index=found.slice),
            model=load_info(folder).version if folder else "",
            seconds=spent.seconds,
            drawn_mm=spent.drawn_mm,
            accepted=spent.accepted,
            instead=instead,
        )

    def _draw(self, choices: list[Choice]) -> None:
        store = self._session.store
        there = {record.key for record in store.slices()}
        for choice in choices:
            key = choice.key
            if key not in there:
                truth = take_slice(self._world.truth(key.case), key.plane, key.index)
                drawn = {key.index: (np.ascontiguousarray(truth), SliceState.COMPLETE)}
                store.save_slices(key.case, key.plane, drawn, author=AUTHOR, model=choice.model)

    def _scored(self, control: Control) -> Generator[Event, None, dict[str, Dice]]:
        """Return Dice by case and class, on what `World.scoring` says; each case is told."""
        kept_out = self._world.kept_out
        if not kept_out:
            return {case: self._predicted(case) for case in self.pool}
        aside = self._world.project / "simulations" / digest([self._world.facts(), "kept out"])
        make_project(aside, self._world, kept_out)
        found: dict[str, Dice] = {}
        with ProjectStore.open(aside, read_only=True) as store:
            for done, case in enumerate(kept_out, start=1):
                said = self._session.segment(store, case, control)
                found[case] = self._dice(said, self._world.truth(case))
                yield Progress(task="Scoring", done=done, total=len(kept_out))
        return found

    def _predicted(self, case: str) -> Dice:
        folder = latest_prediction(self.folder, case)
        assert folder is not None
        return self._dice(load_array(folder, "labels"), self._world.truth(case))

    def _dice(self, said: np.ndarray, truth: np.ndarray) -> Dice:
        return {
            name: dice(said == value, truth == value)
            for value, name in enumerate(self._world.classes, start=1)
        }


def _rounds_in(log: Path) -> list[Round]:
    """Return the finished rounds; a line cut short by a crash is dropped from the file."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        log.write_text(whole, encoding="utf-8")
    return [Round.model_validate_json(line) for line in whole.splitlines()]

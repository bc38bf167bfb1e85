"""The strategies by name, and what can be added to each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sslseg.core.errors import SslsegError
from sslseg.core.prediction import CriticHealth
from sslseg.suggest import scores
from sslseg.suggest.planes import Factors, habit, orthogonal
from sslseg.suggest.scores import Score
from sslseg.suggest.views import CaseView, Table

AUTO = "auto"
COLD_START = "cold-start"
CORE_SET = "core-set"
EQUAL = "equal"
JOIN = "+"


def never(_round: int) -> float:
    """Let novelty count for nothing."""
    return 0.0


def nobody(_table: Table, _round: int) -> tuple[int | None, ...]:
    """Let no class have a turn."""
    return ()


def alone(_round: int) -> float:
    """Let only novelty count."""
    return 1.0


def at_first(number: int) -> float:
    """Return the share of novelty: as much as the score at first, nothing from round six on."""
    weight = 1 - scores.progress(number)
    return weight / (1 + weight)


@dataclass(frozen=True)
class Strategy:
    """A way to choose slices.

    Parameters
    ----------
    name, summary
        As people choose it.
    score : callable or None
        See `scores.Score`. None where slices are spread without a model.
    spread : bool
        Whether similar slices, the same case and cases held out are penalised, and cases without a
        prediction and classes that nobody drew get their share; not so in draws to compare with.
    turns : callable
        ``(table, round) ->`` for each row of the score the class that it is about, None where it
        is about all; empty where that holds for every row.
    novelty : callable
        ``round -> [0, 1]``: the share of the distance to what is labelled or chosen.
    planes : callable
        ``(table, cases) -> (N,)`` factors.
    per_second : bool
        Whether scores are divided by the seconds that a slice is expected to take.
    along : bool
        Whether places along the object are asked for one after the other, as `along.Along` does.
    """

    name: str
    summary: str
    score: Score | None
    spread: bool = True
    turns: Callable[[Table, int], tuple[int | None, ...]] = nobody
    novelty: Callable[[int], float] = never
    planes: Callable[[Table, Sequence[CaseView]], Factors] = habit
    per_second: bool = False
    along: bool = False

    @property
    def base(self) -> str:
        """The name without what was added."""
        return self.name.split(JOIN)[0]


@dataclass(frozen=True)
class Addition:
    """Something that can be added to every strategy that scores."""

    name: str
    summary: str
    add: Callable[[Strategy], Strategy]


def _with_power(strategy: Strategy) -> Strategy:
    score = strategy.score
    return strategy if score is None else replace(strategy, score=scores.powered(score))


_ALL = (
    Strategy(
        AUTO,
        "uncertainty and disagreement, place after place along the object and just past its ends",
        scores.hybrid,
        along=True,
    ),
    Strategy("uncertainty", "where the model is least sure (entropy)", scores.uncertainty),
    Strategy(
        "disagreement",
        "where teacher and student, or the networks, disagree most (mutual information)",
        scores.disagreement,
    ),
    Strategy("doubt", "where a healthy discriminator doubts the prediction", scores.doubt),
    Strategy(CORE_SET, "least like what is labelled or listed", scores.alike, novelty=alone),
    Strategy(
        "class-stratified",
        "uncertainty of each class in turn, with noise that fades (ClaSP-PE)",
        scores.class_stratified,
        turns=scores.class_turns,
    ),
    Strategy(EQUAL, "equally spaced slices", None),
    Strategy("random", "any slice", scores.uniform, spread=False),
    Strategy(
        "random-foreground", "any slice, by its predicted foreground", scores.foreground, False
    ),
    Strategy(COLD_START, "typical, diverse cases and spread slices; needs no model", None),
)
STRATEGIES: Mapping[str, Strategy] = {strategy.name: strategy for strategy in _ALL}

_ADDITIONS = (
    Addition("power", "draws in proportion to the score (Gumbel noise)", _with_power),
    Addition(
        "diverse",
        "also counts how unlike the labelled a slice is, less in each round",
        lambda strategy: replace(strategy, novelty=at_first),
    ),
    Addition(
        "cost",
        "score for each second that the slice will take to draw",
        lambda strategy: replace(strategy, per_second=True),
    ),
    Addition(
        "orthogonal",
        "prefers planes that complement those annotated",
        lambda strategy: replace(strategy, planes=orthogonal),
    ),
)
ADDITIONS: Mapping[str, Addition] = {addition.name: addition for addition in _ADDITIONS}


def strategy_named(name: str) -> Strategy:
    """Return the strategy of a name such as "auto" or "uncertainty+power+cost".

    Raises
    ------
    SslsegError
        Naming all, if there is none of that name or it cannot be added to.
    """
    base, *added = name.split(JOIN)
    if base not in STRATEGIES or not set(added) <= set(ADDITIONS):
        raise SslsegError(
            f"strategy {name!r}",
            f"one of {', '.join(STRATEGIES)}, to which +{', +'.join(ADDITIONS)} can be added",
            "Choose one of these.",
        )
    strategy = STRATEGIES[base]
    if added and strategy.score is None:
        raise SslsegError(
            f"strategy {name!r}", f"{base!r} alone, as it has no score", "Leave out what is added."
        )
    if strategy.novelty is alone and (lost := sorted({"power", "diverse"} & set(added))):
        raise SslsegError(
            f"strategy {name!r}",
            f"{base!r} without +{' +'.join(lost)}, as it goes by novelty alone",
            "Leave out what is added.",
        )
    for each in added:
        strategy = ADDITIONS[each].add(strategy)
    return replace(strategy, name=name)


def check_critics(healths: Sequence[CriticHealth]) -> None:
    """Raise `SslsegError` unless a discriminator can be believed."""
    if healths and not any(health.healthy for health in healths):
        raise SslsegError(
            f"strategy 'doubt' with this discriminator: {healths[0].words.rstrip('.')}",
            "a discriminator with an AUC between 0.6 and 0.95 on held-out annotated slices",
            "Train on with a discriminator, or choose another strategy.",
        )


def check_features(table: Table) -> None:
    """Raise `SslsegError` unless some slices have features."""
    if not np.isfinite(table.features).any():
        raise SslsegError(
            "predictions without features of their slices",
            "predictions of this version of the program",
            "Predict the cases again, or choose another strategy.",
        )

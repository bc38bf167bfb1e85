"""The command line: results on stdout, messages on stderr, exit status 0 or 1."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sslseg import __version__
from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.catalogue import methods as known_methods
from sslseg.core.config import DeviceChoice, SimulationRequest
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.core.geometry import Plane
from sslseg.core.words import counted
from sslseg.options import (
    Device,
    Holdout,
    Json,
    LastMinutes,
    Method,
    Methods,
    Minutes,
    Pool,
    Project,
    ScoreCases,
    Seed,
    Seeds,
    Settings,
    Steps,
    Strategies,
    Strategy,
    finite,
    refuse_in_window,
    request_of,
    settings_of,
)
from sslseg.runner.perform import plain_words
from sslseg.storage.store import ProjectStore
from sslseg.suggest.strategies import AUTO, strategy_named
from sslseg.terminal import Follower, described, kept_in_log, pretraining_help, stoppable, table
from sslseg.window import open_window

if TYPE_CHECKING:
    from sslseg.session import Session

app = typer.Typer(
    name="sslseg",
    help="Label a few slices, train on everything, look, label the next slice.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# Typer carries its own click from 0.29 on: click's root error is found through a public child.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]


class Failure(Exception):
    """A command failed; the text is for the user."""


@app.command()
def new(
    project: Project,
    classes: Annotated[list[str], typer.Option("--class", help="A structure; repeat for more.")],
    as_json: Json = False,
) -> None:
    """Make a project folder."""
    from sslseg.session import Session

    with Session.create(project, classes) as session:
        names = [label.name for label in session.store.classes]
    _result({"project": str(project), "classes": names}, str(project), as_json)


@app.command()
def add(
    project: Project,
    paths: Annotated[list[Path], typer.Argument(help="Image files or DICOM folders.")],
    domain: Annotated[str, typer.Option(help="Their scanner, site or sequence.")] = "",
    as_json: Json = False,
) -> None:
    """Add cases, all or none; each is named after its file."""
    with _opened(project) as session, stoppable() as control:
        before = {case.name for case in session.store.cases()}
        _follower().follow(session.add(paths, control, domain))
        added = [case.name for case in session.store.cases() if case.name not in before]
    _result(added, "\n".join(added), as_json)


@app.command("domain")
def set_domain(
    project: Project,
    cases: Annotated[list[str] | None, typer.Argument(help="None: list all.")] = None,
    name: Annotated[str | None, typer.Option(help='Scanner, site, sequence; or "".')] = None,
    as_json: Json = False,
) -> None:
    """Say which scanner, site or sequence cases come from, or list what was said."""
    if bool(cases) != (name is not None):
        got = "--name without a case" if name is not None else f"{' '.join(cases or ())}, no --name"
        raise SslsegError(got, "cases and --name, or neither to list all", "Say both.")
    with ProjectStore.open(project, read_only=name is None) as store:
        if name is not None:
            store.set_domain(cases or (), name)
        found = {case.name: case.domain for case in store.cases()}
    _result(found, "\n".join(f"{case}  {said or '-'}" for case, said in found.items()), as_json)


@app.command("import-labels")
def import_labels(
    project: Project,
    case: Annotated[str, typer.Argument(help="The case's name.")],
    file: Annotated[Path, typer.Argument(help="Labels on the case's grid.")],
    plane: Annotated[Plane | None, typer.Option(help="No plane: the whole volume.")] = None,
    slices: Annotated[
        list[int] | None, typer.Option("--slice", help="Counted from 0 in RAS+; repeat for more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take slices of a label file over as complete annotations."""
    if slices and plane is None:
        raise SslsegError(
            "--slice without --plane", "both, or neither for the whole volume", "Add --plane."
        )
    with _opened(project) as session:
        count = session.import_labels(case, file, plane, slices or ())
    _result({"case": case, "slices": count}, f"{case}: {counted(count, 'slice')}", as_json)


@app.command()
def train(
    project: Project,
    method: Method = None,
    minutes: Minutes = None,
    steps: Steps = None,
    device: Device = DeviceChoice.AUTO,
    seed: Seed = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier rounds.")] = False,
    settings: Settings = None,
    baseline: Annotated[
        bool,
        typer.Option("--baseline", help="Compare with supervised: held-out slices teach none."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train one round; Ctrl-C stops and keeps what was learnt."""
    request = request_of(
        method, minutes, steps, device, seed, fresh, settings_of(settings or ()), baseline
    )
    with _opened(project, read_only=True) as session, stoppable() as control:
        summary = _follower().follow(session.train(request, control))
    if summary.failure:
        raise Failure(summary.failure)
    found = summary.training()
    _result(found, json.dumps(found, indent=2), as_json)


@app.command(help=pretraining_help())
def pretrain(
    project: Project,
    method: Annotated[str | None, typer.Option(help="jigsaw, contrastive or masked.")] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    device: Device = DeviceChoice.AUTO,
    seed: Seed = 0,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Learn from the images alone; Ctrl-C stops and keeps what was learnt."""
    request = request_of(method, minutes, steps, device, seed, False, settings_of(settings or ()))
    with _opened(project, read_only=True) as session, stoppable() as control:
        summary = _follower().follow(session.pretrain(request, control))
    if summary.failure:
        raise Failure(summary.failure)
    found = summary.training()
    _result(found, json.dumps(found, indent=2), as_json)


@app.command()
def predict(
    project: Project,
    cases: Annotated[list[str] | None, typer.Argument(help="None: all of them.")] = None,
    as_json: Json = False,
) -> None:
    """Predict cases with the newest model."""
    with _opened(project, read_only=True) as session, stoppable() as control:
        _follower().follow(session.predict(cases or (), control))
        done = list(cases or ()) or [case.name for case in session.store.cases()]
    _result(done, "\n".join(done), as_json)


@app.command()
def suggest(
    project: Project,
    count: Annotated[int, typer.Option(min=1, help="How many slices.")] = 10,
    strategy: Strategy = AUTO,
    as_json: Json = False,
) -> None:
    """Say which slices to label next, best first, and why; the newest model looks first."""
    strategy_named(strategy)
    with _opened(project, read_only=True) as session, stoppable() as control:
        follower = _follower()
        try:
            follower.follow(session.catch_up(strategy, control))
        except SslsegError as error:
            follower.say(f"{error} The list goes by the predictions that there are.")
        found = session.suggest(count, strategy)
    lines = [f"{s.case}  {s.plane} {s.slice}  {s.score:.3f}  {s.reason}" for s in found]
    _result([s.model_dump(mode="json", exclude={"box"}) for s in found], "\n".join(lines), as_json)


@app.command()
def evaluate(
    project: Project,
    labels: Annotated[Path, typer.Option(help="A label file per case, named like its image.")],
    case: Annotated[list[str] | None, typer.Option("--case", help="Repeat for more.")] = None,
    as_json: Json = False,
) -> None:
    """Compare the predictions with true labels: Dice, HD95 and ASSD in mm."""
    with _opened(project, read_only=True) as session, stoppable() as control:
        scoring, follower = session.scoring(labels, case or ()), _follower()
        follower.follow(scoring.events(control))
        found = scoring.found
        follower.note_behind(project, found["cases"])
    _result(found, table({**found["cases"], "mean": found["mean"]}), as_json)


@app.command()
def simulate(
    project: Project,
    labels: Annotated[Path, typer.Option(help="A label file per case, named like its image.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often to label and train.")],
    slices: Annotated[int, typer.Option(min=1, help="Slices labelled in each round.")],
    strategy: Strategies = None,
    method: Methods = None,
    minutes: Minutes = None,
    last_minutes: LastMinutes = None,
    steps: Steps = None,
    device: Device = DeviceChoice.AUTO,
    seed: Seeds = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier rounds.")] = False,
    settings: Settings = None,
    holdout: Holdout = None,
    score_cases: ScoreCases = None,
    pool: Pool = None,
    as_json: Json = False,
) -> None:
    """Replay the loop with an annotator who knows the true labels; resumes where it ended.

    Scored on whole cases kept out of the project, or on its own where fewer than ten have labels.
    """
    from sslseg.simulate.play import simulate as play

    train = request_of(None, minutes, steps, device, 0, fresh, settings_of(settings or ()))
    request = SimulationRequest(
        labels=str(labels),
        rounds=rounds,
        slices=slices,
        strategies=tuple(strategy or ("auto",)),
        methods=tuple(method or (DEFAULT_METHOD,)),
        seeds=tuple(seed or (0,)),
        train=train,
        last_minutes=finite(last_minutes, "--last-minutes"),
        holdout=holdout,
        score_cases=tuple(score_cases or ()),
        pool=pool,
    )
    with stoppable() as control:
        told = _follower().follow(play(project, request, control)).simulated
    if told is None:
        raise Failure("The simulation said nothing.")
    text = Path(told.report).read_text(encoding="utf-8")
    _result(json.loads(text), text, as_json)


@app.command()
def export(
    project: Project,
    out: Annotated[Path, typer.Argument(help="A folder; made if missing.", metavar="OUT")],
    form: Annotated[str, typer.Option("--as", help="nifti or nnunet.")] = "nifti",
    what: Annotated[str, typer.Option(help="predictions or annotations.")] = "predictions",
    as_json: Json = False,
) -> None:
    """Write masks that other programs read, on the grid of the images."""
    with _opened(project, read_only=True) as session, stoppable() as control:
        files = _follower().follow(session.export(out, form, what, control)).files
    _result(files, "\n".join(files), as_json)


@app.command()
def methods(as_json: Json = False) -> None:
    """List the methods and their parameters."""
    found = known_methods()
    words = "\n".join(described(found))
    _result([method.model_dump(mode="json") for method in found], words, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what a bug report needs: versions, devices, memory, threads; no names of people."""
    from sslseg.doctor import examine, words

    report = examine()
    _result(report, words(report), as_json)


@app.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="Without a screen.")] = False,
    out: Annotated[Path | None, typer.Option(help="For masks and pictures; else ./demo.")] = None,
    minutes: Minutes = None,
    as_json: Json = False,
) -> None:
    """Show the program on its own sample volumes; all options are of --headless."""
    if not headless:
        refuse_in_window(out, minutes, as_json)
        _open_window(None)
        return
    from sslseg.demo import headless as tell_story

    length = finite(minutes) or 1.0
    files = [str(path) for path in tell_story(out or Path("demo"), length, _follower().say)]
    _result(files, "\n".join(files), as_json)


@app.command()
def gui(project: Annotated[Path | None, typer.Argument(metavar="[PROJECT]")] = None) -> None:
    """Open napari with the plugin docked."""
    _open_window(project)


@app.command(hidden=True)
def worker() -> None:
    """Serve a viewer through stdin and stdout, as JSON lines."""
    runpy.run_module("sslseg.worker", run_name="__main__")


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with 0, or with 1 after one plain line on stderr."""
    try:
        status = app(arguments, standalone_mode=False)
    except (SslsegError, Failure) as error:
        status = _refuse(str(error))
    except _ClickError as error:
        status = _refuse(f"{_usage_words(error).rstrip('.')}. See: sslseg --help")
    except (Cancelled, KeyboardInterrupt, typer.Abort):
        status = _refuse("Stopped; what was finished before is kept.")
    except Exception as error:  # noqa: BLE001 - the end of the process: one line, the rest in a log
        status = _refuse(plain_words(error) + kept_in_log())
    sys.exit(1 if status else 0)


def _refuse(line: str) -> int:
    typer.echo(" ".join(line.split()), err=True)
    return 1


def _usage_words(error: Exception) -> str:
    return str(getattr(error, "format_message", lambda: error)())


def _result(value: Any, text: str, as_json: bool) -> None:
    typer.echo(json.dumps(value, indent=2) if as_json else text)


def _open_window(project: Path | None) -> None:
    if open_window(project):
        raise Failure("The window ended with an error; see the lines above.")


def _follower() -> Follower:
    return Follower(sys.stderr)


def _opened(project: Path, *, read_only: bool = False) -> Session:
    from sslseg.session import Session

    return Session(project, read_only=read_only)


if __name__ == "__main__":
    main()

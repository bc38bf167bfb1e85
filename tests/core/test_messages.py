import pytest
from pydantic import ValidationError

from sslseg.core import commands, events
from sslseg.core.config import DeviceChoice, SimulationRequest, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.core.geometry import Plane
from sslseg.core.suggestion import Suggestion


def test_an_error_is_one_plain_line() -> None:
    error = SslsegError("a spoon", "a fork", "Look in the drawer.")
    assert str(error) == "Got a spoon; expected a fork. Look in the drawer."
    assert (error.got, error.expected, error.todo) == error.args


@pytest.mark.parametrize(
    "event",
    [
        events.Validated(run="r", step=3, dice={"a": 0.5, "b": None}, mean=0.5, slices=2),
        events.RunFinished(run="r", reason=events.FinishReason.STOPPED, step=3, seconds=1.5),
        events.SuggestionsReady(
            suggestions=(Suggestion(case="c", plane=Plane.AXIAL, slice=3, score=1, reason="new"),)
        ),
        events.CommandDone(command="train", message="no cases"),
        events.SlicesPredicted(case="c", file="runs/r/slices.npz"),
        events.SimulationReported(
            curves=(events.ArmCurve(strategy="s", method="m", seed=1, slices=(8,), dice=(None,)),),
            done=1,
            total=6,
            words="one",
            report="r.json",
            picture="p.svg",
        ),
        events.Compared(
            method="m",
            measured=events.Validated(
                run="r", step=3, dice={"a": 0.5}, mean=0.5, slices=2, without=(0.4, 0.6)
            ),
            baseline=None,
        ),
    ],
)
def test_events_pass_the_pipe_unchanged(event: events.Event) -> None:
    line = events.EVENT.dump_json(event)
    assert b"\n" not in line
    assert events.EVENT.validate_json(line) == event


def test_commands_pass_the_pipe_unchanged() -> None:
    request = TrainRequest(minutes=4, device=DeviceChoice.CPU, settings={"weight": 0.1, "on": True})
    command = commands.Train(request=request)
    again = commands.COMMAND.validate_json(commands.COMMAND.dump_json(command))
    assert again == command
    assert isinstance(again, commands.Train)
    assert again.request.settings["on"] is True


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('{"kind": "show", "case": "a"}', None),
        ('{"kind": "show", "case": "a", "plane": "coronal", "index": 7}', (Plane.CORONAL, 7)),
    ],
)
def test_what_is_on_the_screen_has_a_place_where_it_is_known(
    line: str, place: tuple[Plane, int] | None
) -> None:
    shown = commands.COMMAND.validate_json(line)
    assert isinstance(shown, commands.ShowCase)
    assert shown.place == place


def test_a_simulation_is_asked_for_with_sense() -> None:
    asked = SimulationRequest(labels="l", rounds=6, slices=8, methods=("m",), last_minutes=4)
    command = commands.Simulate(request=asked)
    assert commands.COMMAND.validate_json(commands.COMMAND.dump_json(command)) == command
    bad = ({"rounds": 0}, {"methods": ()}, {"holdout": -1}, {"last_minutes": 0}, {"pool": 0})
    for wrong in bad:
        with pytest.raises(ValidationError):
            SimulationRequest.model_validate(asked.model_dump() | wrong)


@pytest.mark.parametrize("line", ['{"kind": "explode"}', '{"kind": "train"}', "[]", "{"])
def test_unknown_or_broken_commands_are_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        commands.COMMAND.validate_json(line)


@pytest.mark.parametrize("wrong", [{"minutes": 0}, {"steps": 0}, {"device": "tpu"}])
def test_a_train_request_has_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainRequest.model_validate(wrong)


def test_control_stops_once_and_is_reset() -> None:
    control = Control()
    control.check()
    control.stop()
    assert control.stopped
    with pytest.raises(Cancelled):
        control.check()
    control.reset()
    control.check()
    control.show("head", (Plane.CORONAL, 7))
    assert control.shown == "head"
    assert control.screen == ("head", (Plane.CORONAL, 7))


def test_a_blind_control_stops_with_the_other_and_sees_nothing() -> None:
    control = Control()
    control.show("head", (Plane.CORONAL, 7))
    blind = control.blind()
    assert blind.screen == (None, None)
    control.stop()
    assert blind.stopped

"""A worker without torch, whose session does what `settings["do"]` says."""

# ruff: noqa: T201 - libraries print
import faulthandler
import os
import signal
import sys
import time

from sslseg.core.errors import SslsegError
from sslseg.core.events import (
    CheckpointSaved,
    Exported,
    FinishReason,
    PredictionReady,
    RunFinished,
    RunStarted,
    StepReported,
    WorkerReady,
)
from sslseg.core.geometry import Plane
from sslseg.core.suggestion import Suggestion
from sslseg.worker import private_pipes, serve, settle_in

PRIVATE = {}


class FakeSession:
    """As `sslseg.session.Session`, but every deed is told by the request."""

    def __init__(self, project):
        if not project.is_dir():
            raise SslsegError(f"{project}", "a project folder", "Choose another.")
        self.project = project
        self.runs = 0

    def train(self, request, control):
        self.runs += 1
        run = f"run-{self.runs}"
        yield RunStarted(
            run=run, method="fake", device="cpu", plan=("none",), steps=1, minutes=None
        )
        yield StepReported(
            run=run,
            step=7,
            fraction=0.5,
            seconds=3.0,
            seconds_left=3.0,
            terms={"supervised": float("nan")},
            learning_rate=0.1,
        )
        getattr(self, str(request.settings.get("do", "nothing")))(control)
        (self.project / f"{run}.checkpoint").write_text("learnt")
        yield CheckpointSaved(run=run, step=8, path=f"{run}.checkpoint")
        reason = FinishReason.STOPPED if control.stopped else FinishReason.COMPLETED
        yield RunFinished(run=run, reason=reason, step=8, seconds=4.0)

    def predict(self, cases, control):
        for case in cases or (control.shown,):
            yield PredictionReady(case=case, version="1", folder="x" * 1_000_000)

    def suggest(self, count, strategy):
        return tuple(
            Suggestion(case="a", plane=Plane.AXIAL, slice=i, score=1.0, reason=strategy)
            for i in range(count)
        )

    def export(self, out, format, what, control):  # noqa: A002
        yield Exported(files=(str(out), format, what))

    def close(self):
        (self.project / "closed").touch()

    def nothing(self, control):
        pass

    def wait(self, control):
        while not control.stopped:
            time.sleep(0.005)

    def hang(self, control):
        time.sleep(600)

    def kill(self, control):
        os.kill(os.getpid(), signal.SIGKILL)

    def segfault(self, control):
        faulthandler._sigsegv()

    def leave(self, control):
        print("OSError: the cable was pulled", file=sys.stderr, flush=True)
        os._exit(3)

    def fail(self, control):
        raise ZeroDivisionError("by nothing")

    def refuse(self, control):
        raise SslsegError("no labels", "some", "Paint a slice.")

    def exhaust(self, control):
        raise MemoryError

    def exhaust_and_die(self, control):
        print("torch.OutOfMemoryError: CUDA out of memory.", file=sys.stderr, flush=True)
        os._exit(1)

    def talk(self, control):
        print("a library says hello", flush=True)
        os.write(1, b"and so does its C part\n")

    def babble(self, control):
        PRIVATE["stdout"].write(b"\xff\x00 this is not JSON\n")
        PRIVATE["stdout"].flush()
        time.sleep(600)

    def stutter(self, control):
        PRIVATE["stdout"].write(b'{"kind": "st')
        PRIVATE["stdout"].flush()
        self.kill(control)

    def shout(self, control):
        for _ in range(1000):
            print("w" * 4000, file=sys.stderr)

    def read_stdin(self, control):
        if sys.stdin.read() != "":
            raise AssertionError("stdin is not private")


if __name__ == "__main__":
    stdin, PRIVATE["stdout"] = private_pipes()
    settle_in()
    last_seconds = float(os.environ.get("FAKE_LAST_SECONDS", "6"))
    serve(FakeSession, stdin, PRIVATE["stdout"], lambda: WorkerReady(device="fake"), last_seconds)

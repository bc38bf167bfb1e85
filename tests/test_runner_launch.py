"""How a worker is started, and how its death is told."""

import json
import os
import sys
from pathlib import Path

import pytest

from sslseg.core.errors import SslsegError
from sslseg.runner import launch, ssh_argv
from sslseg.runner.causes import cause_of_death, last_error, obituary
from sslseg.runner.perform import OUT_OF_MEMORY

TRACEBACK = ["Traceback (most recent call last):", "  File x", "OSError: no such disk", ""]


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (3, 3), (4, 2), (16, 14)])
def test_two_of_four_or_more_cores_are_left_to_the_viewer(monkeypatch, cores, threads):
    monkeypatch.setattr(launch, "physical_cores", lambda: cores)
    environ = launch.child_environment({})
    assert environ["OMP_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == str(threads)


def test_the_user_may_choose_the_threads():
    environ = launch.child_environment({"SSLSEG_THREADS": "3", "OMP_NUM_THREADS": "9", "A": "b"})
    assert environ["OMP_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == "3"
    assert environ["A"] == "b"


@pytest.mark.parametrize("words", ["0", "-1", "many", "1.5"])
def test_nonsense_threads_are_refused(words):
    with pytest.raises(SslsegError, match="SSLSEG_THREADS"):
        launch.thread_count({"SSLSEG_THREADS": words})


def test_physical_cores_are_at_most_the_logical_ones():
    assert 1 <= launch.physical_cores() <= (os.cpu_count() or 1)


def test_ssh_quotes_the_interpreter():
    argv = ssh_argv("me@gpu", "/opt/my env/python")
    assert argv[0] == "ssh"
    assert argv[-2:] == ["me@gpu", "'/opt/my env/python' -P -m sslseg.worker"]


@pytest.mark.parametrize("host", ["", "-oProxyCommand=evil"])
def test_ssh_refuses_options_as_hosts(host):
    with pytest.raises(SslsegError, match="host"):
        ssh_argv(host)


def test_ten_logs_are_kept(tmp_path):
    made = [launch.new_log(tmp_path / "logs") for _ in range(12)]
    assert sorted((tmp_path / "logs").iterdir()) == sorted(made)[-10:]


def test_no_log_where_none_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert launch.new_log(tmp_path / "file") is None


@pytest.mark.parametrize(
    ("code", "lines", "words"),
    [
        (-9, TRACEBACK, "It was killed from outside; often this means that the computer ran out"),
        (-11, [], "It crashed inside a native library (segmentation fault)."),
        (0xC0000005, [], "It crashed inside a native library (segmentation fault)."),
        (1, TRACEBACK, "It ended with exit status 1: OSError: no such disk."),
        (1, ["torch.OutOfMemoryError: CUDA out of memory. Tried"], OUT_OF_MEMORY),
        (-6, ["terminate called", "  what():  std::bad_alloc"], OUT_OF_MEMORY),
        (-15, [], "It ended by signal 15."),
        (0, [], "It ended with exit status 0."),
    ],
)
def test_causes(code, lines, words):
    assert cause_of_death(code, lines).startswith(words)


def test_the_error_line_wins_over_what_was_said_after_it():
    assert last_error([*TRACEBACK, "a library says goodbye"]) == "OSError: no such disk"
    assert last_error(["only this", " "]) == "only this"
    assert last_error([]) == ""


def test_the_obituary_names_the_log():
    told = obituary("It broke.", "All is kept.", Path("w.log"))
    assert told.endswith("It broke. All is kept. Try again to go on. Log: w.log")
    assert obituary("It broke.", "All is kept.", None).endswith("Try again to go on.")


def test_the_viewer_side_loads_neither_torch_nor_storage():
    import subprocess

    code = "import json, sys, sslseg.runner; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = set(json.loads(ran.stdout))
    assert not loaded & {"torch", "monai", "sslseg.session", "sslseg.storage", "scipy", "qtpy"}

"""How the GUI and the command line have work done: in a child process, over ssh, or in place.

The runner stands on the core alone, so that the GUI process never loads torch.
"""

from sslseg.runner.inline import InlineRunner
from sslseg.runner.launch import ssh_argv
from sslseg.runner.process import ProcessRunner
from sslseg.runner.status import Runner, RunnerState, RunnerStatus

__all__ = ["InlineRunner", "ProcessRunner", "Runner", "RunnerState", "RunnerStatus", "ssh_argv"]

"""Where to compute, and what that device is good at."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch
from torch import device as torch_device
from torch import dtype as torch_dtype

from sslseg.core.config import DeviceChoice
from sslseg.core.errors import SslsegError
from sslseg.core.words import counted
from sslseg.methods.shared import Precision


@dataclass(frozen=True)
class Device:
    """A device that was probed.

    Parameters
    ----------
    torch : torch.device
        For tensors.
    name : str
        For the screen.
    memory : int
        Bytes a training may use.
    amp : torch.dtype or None
        Mixed-precision type where it gains, None where float32 is faster.
    threads : int
        CPU threads of this process.
    """

    torch: torch_device
    name: str
    memory: int
    amp: torch_dtype | None
    threads: int

    @property
    def is_cpu(self) -> bool:
        """Whether tensors live on the CPU."""
        return self.torch.type == "cpu"

    def with_precision(self, wanted: Precision) -> Device:
        """Return it with the type that is wanted; auto takes the mixed one where it gains."""
        if wanted == "auto":
            return self
        return replace(self, amp=None if wanted == "single" else self.amp or torch.bfloat16)


def choose(choice: DeviceChoice) -> Device:
    """Return the device for a request; auto takes CUDA, then MPS if it can, then the CPU.

    Raises
    ------
    SslsegError
        When the asked device is not there.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": mps_works(), "cpu": True}
    if choice is not DeviceChoice.AUTO and not found[choice.value]:
        present = ", ".join(name for name, there in found.items() if there)
        raise SslsegError(
            f"device {choice.value}",
            f"one of this machine's devices ({present})",
            "Choose auto, or one of these.",
        )
    if choice is DeviceChoice.AUTO:
        choice = DeviceChoice(next(name for name, there in found.items() if there))
    return {"cuda": _cuda, "mps": _mps, "cpu": _cpu}[choice.value]()


def _cuda() -> Device:
    device = torch.device("cuda")
    facts = torch.cuda.get_device_properties(device)
    amp = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return Device(device, facts.name, facts.total_memory, amp, torch.get_num_threads())


def _mps() -> Device:
    memory = int(torch.mps.recommended_max_memory())
    return Device(torch.device("mps"), "Apple GPU", memory, None, torch.get_num_threads())


def _cpu() -> Device:
    threads = torch.get_num_threads()
    amp = torch.bfloat16 if fast_bfloat16() else None
    return Device(torch.device("cpu"), f"CPU, {counted(threads, 'thread')}", _ram(), amp, threads)


def fast_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 faster than float32 (AMX or AVX512-BF16)."""
    facts = torch.cpu.get_capabilities()
    return bool(facts.get("amx_bf16") or facts.get("avx512_bf16"))


def mps_works() -> bool:
    """Tell whether an Apple GPU can run what we need: a 3-D convolution, forward and back."""
    if not torch.backends.mps.is_available():
        return False
    try:
        x = torch.zeros((1, 1, 16, 16, 16), device="mps", requires_grad=True)
        down = torch.nn.Conv3d(1, 2, 3, stride=2, padding=1).to("mps")
        up = torch.nn.ConvTranspose3d(2, 1, 2, stride=2).to("mps")
        up(down(x)).sum().backward()
    except (RuntimeError, NotImplementedError):
        return False
    return True


def _ram() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30

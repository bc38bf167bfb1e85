"""Make the virtual environment that the demo and the tests run in; standard library only.

Usage: ``python scripts/environment.py EXTRA [CONSTRAINTS]``. Prints the environment's Python.
The environment is ``.venv`` in the checkout, or the folder that SSLSEG_VENV names. A stamp
remembers what was installed, so that the second call takes no time.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


def cpu_wheels_answer() -> bool:
    """Tell whether PyTorch's index of CPU wheels can be reached."""
    try:
        with urllib.request.urlopen(f"{CPU_WHEELS}/torch/", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def torch_arguments() -> list[str]:
    """Return pip's arguments for torch; SSLSEG_TORCH overrules the choice.

    On Linux a plain ``torch`` brings gigabytes of CUDA, so machines without an NVIDIA driver take
    the CPU wheels.
    """
    if "SSLSEG_TORCH" in os.environ:
        return [TORCH, *shlex.split(os.environ["SSLSEG_TORCH"])]
    x86_linux = sys.platform == "linux" and platform.machine() == "x86_64"
    if x86_linux and not shutil.which("nvidia-smi") and cpu_wheels_answer():
        return [TORCH, "--index-url", CPU_WHEELS]
    return [TORCH]


def stamp_of(constraints: list[str]) -> str:
    """Return the digest of all that decides what is installed."""
    digest = hashlib.sha256(f"{ROOT} {sys.version} {os.environ.get('SSLSEG_TORCH')}".encode())
    for name in ("pyproject.toml", *constraints):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def install(python: Path, extra: str, constraints: list[str]) -> None:
    """Install torch by itself, then the project with `extra`; pip's talk goes to stderr."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    limits = [word for name in constraints for word in ("-c", name)]
    for arguments in (torch_arguments(), ["-e", f".[{extra}]", *limits]):
        print("Installing", *arguments, file=sys.stderr, flush=True)
        subprocess.run([*pip, *arguments], cwd=ROOT, check=True, stdout=sys.stderr)


def main() -> int:
    """Make the environment where it is missing or out of date."""
    extra, *constraints = sys.argv[1:]
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        print(f"Got Python {platform.python_version()}; need 3.11, 3.12 or 3.13.", file=sys.stderr)
        return 1
    folder = Path(os.environ.get("SSLSEG_VENV", ROOT / ".venv")).resolve()
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, digest = folder / f"sslseg-{extra}.stamp", stamp_of(constraints)
    if not (stamp.exists() and stamp.read_text() == digest):
        if subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False).returncode:
            print(
                "Python cannot make an environment. On Debian: apt install python3-venv",
                file=sys.stderr,
            )
            return 1
        install(python, extra, constraints)
        stamp.write_text(digest)
    print(python)
    return 0


if __name__ == "__main__":
    sys.exit(main())

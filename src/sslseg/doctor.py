"""What a bug report needs to say of this computer; never fails, tells no names of people."""

from __future__ import annotations

import getpass
import os
import platform
import re
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

T = TypeVar("T")

GIB = 2**30
PACKAGES = (
    "napari-sslseg",
    "torch",
    "monai",
    "numpy",
    "scipy",
    "napari",
    "qtpy",
    "nibabel",
    "SimpleITK",
    "pydicom",
)
QT_BINDINGS = ("PySide6", "PySide6_Essentials", "PyQt6", "PyQt5", "PySide2")


def examine() -> dict[str, Any]:
    """Return versions, devices, threads, disk and places, as plain JSON values.

    What cannot be found out is None, and `problems` says why.
    """
    problems: list[str] = []

    def probe(name: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 - a report on a broken installation must come
            problems.append(f"{name}: {type(error).__name__}: {error}")
            return None

    report = {
        "system": probe("system", platform.platform),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "qt_binding": qt_binding(),
        "devices": probe("devices", devices) or [],
        "cpu": probe("cpu", cpu),
        "disk_free_gib": probe("disk", lambda: _gib(shutil.disk_usage(Path.home()).free)),
        "logs": platformdirs.user_log_dir("napari-sslseg", appauthor=False),
        "problems": problems,
    }
    cleaned = redacted(report)
    assert isinstance(cleaned, dict)
    return cleaned


def version(package: str) -> str | None:
    """Return the installed version, None where it is not installed; nothing is imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def qt_binding() -> str | None:
    """Return the Qt binding with its version that napari would find, None without any."""
    return next((f"{name} {found}" for name in QT_BINDINGS if (found := version(name))), None)


def devices() -> list[dict[str, Any]]:
    """Return kind, name and memory of each device that can train, the fastest first."""
    import torch

    found: list[dict[str, Any]] = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            bf16 = torch.cuda.is_bf16_supported()
            memory = _gib(facts.total_memory)
            found.append(
                {"kind": "cuda", "name": facts.name, "memory_gib": memory, "bfloat16": bf16}
            )
    if torch.backends.mps.is_available():
        memory = _gib(torch.mps.recommended_max_memory())
        found.append({"kind": "mps", "name": "Apple GPU", "memory_gib": memory, "bfloat16": False})
    name = platform.processor() or platform.machine()
    fast = cpu_features()
    found.append(
        {
            "kind": "cpu",
            "name": name,
            "memory_gib": _ram_gib(),
            "bfloat16": {"amx_bf16", "avx512_bf16"} & {*fast} != set(),
        }
    )
    return found


def cpu() -> dict[str, Any]:
    """Return the processor's cores, threads in use and what speeds up training on it."""
    import torch

    return {
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "features": cpu_features(),
    }


def cpu_features() -> list[str]:
    """Return the vector extensions that matter, e.g. "avx2" or "amx_bf16"."""
    import torch

    wanted = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "neon", "sve", "bf16")
    facts = torch.cpu.get_capabilities()
    return [name for name in wanted if facts.get(name)]


def redacted(value: Any) -> Any:
    """Return nested JSON values with the user's home and name replaced in every text."""
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return _without_user(value) if isinstance(value, str) else value


def words(report: dict[str, Any]) -> str:
    """Return the report as lines for people."""
    lines = [f"{'system':<16}{report['system']}"]
    lines += [f"{name:<16}{found or 'missing'}" for name, found in report["versions"].items()]
    lines.append(f"{'Qt binding':<16}{report['qt_binding'] or 'missing'}")
    for device in report["devices"]:
        bf16 = ", fast bfloat16" if device["bfloat16"] else ""
        memory = f"{device['memory_gib']} GiB" if device["memory_gib"] else "memory unknown"
        lines.append(f"{device['kind']:<16}{device['name']}, {memory}{bf16}")
    if report["cpu"]:
        facts = report["cpu"]
        features = ", ".join(facts["features"]) or "no vector extensions known"
        lines.append(f"{'threads':<16}{facts['torch_threads']} of {facts['cores']} ({features})")
    lines.append(f"{'free disk':<16}{report['disk_free_gib']} GiB")
    lines.append(f"{'logs':<16}{report['logs']}")
    return "\n".join(lines + [f"{'problem':<16}{problem}" for problem in report["problems"]])


def _without_user(text: str) -> str:
    text = text.replace(str(Path.home()), "~")
    name = _user()
    return re.sub(rf"\b{re.escape(name)}\b", "<user>", text) if name else text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _ram_gib() -> float | None:
    try:
        return _gib(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None


def _gib(size: int) -> float:
    return round(size / GIB, 1)

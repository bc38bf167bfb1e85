"""What is shipped: the wheel built from the source archive, and the scripts that install it."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*_data/*.md")])


def build(target: str, source: Path, out: Path) -> Path:
    """Build in a child, as an installer would, and return the one file made."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that comes of the source archive alone."""
    archive = build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))
    unpacked = tmp_path_factory.mktemp("source")
    with tarfile.open(archive) as tar:
        for member in filter(tarfile.TarInfo.isfile, tar):
            target = unpacked / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            target.write_bytes(content.read())
    (source,) = unpacked.iterdir()
    return zipfile.ZipFile(build("wheel", source, tmp_path_factory.mktemp("wheel")))


def test_wheel_holds_everything_that_the_program_reads(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for path in (
        "napari_sslseg/napari.yaml",
        "napari_sslseg/py.typed",
        "sslseg/core/catalogue.json",
        "sslseg/py.typed",
        *(f"sslseg/sample_data/images/sample_{index:02d}.nii.gz" for index in range(1, 9)),
        *(f"sslseg/sample_data/labels/sample_{index:02d}.nii.gz" for index in (1, 2)),
    ):
        assert path in names
    sources = {
        path.relative_to(ROOT / "src" if package == "src" else ROOT).as_posix()
        for package in ("src", "napari_sslseg")
        for path in (ROOT / package).rglob("*.py")
    }
    assert sources <= names


def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sslseg", "napari_sslseg"}
    assert not [name for name in wheel.namelist() if name.endswith((".pyc", ".pkl", ".pt"))]
    assert sum(info.file_size for info in wheel.infolist()) < 5_000_000


def test_base_install_brings_no_qt_and_no_napari(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    requirements = metadata.get_all("Requires-Dist", [])
    base = {re.split(r"[^\w-]", line)[0].lower() for line in requirements if "extra" not in line}
    assert base.isdisjoint({"napari", "pyside6", "pyside6-essentials", "pyqt6", "pyqt5"})
    assert {"torch", "monai", "nibabel", "pydantic", "typer"} <= base
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert set(metadata.get_all("Provides-Extra", [])) == {"gui", "all", "dev"}


def test_editable_install_finds_both_packages(tmp_path: Path) -> None:
    code = f"from hatchling.build import build_editable as b; b({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (made,) = tmp_path.iterdir()
    with zipfile.ZipFile(made) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".pth"))
        folders = [Path(line) for line in wheel.read(name).decode().splitlines()]
    assert any((folder / "napari_sslseg").is_dir() for folder in folders)
    assert any((folder / "sslseg").is_dir() for folder in folders)


def test_environment_that_is_up_to_date_is_used_at_once(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "environment.py"
    digest = runpy.run_path(str(script))["stamp_of"](["tests/constraints.txt"])
    (tmp_path / "sslseg-dev.stamp").write_text(digest)
    told = subprocess.run(
        [sys.executable, str(script), "dev", "tests/constraints.txt"],
        env=os.environ | {"SSLSEG_VENV": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(told.stdout.strip()).is_relative_to(tmp_path)
    assert told.stderr == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["sslseg-dev.stamp"]


def test_stamp_follows_what_decides_the_install(monkeypatch: pytest.MonkeyPatch) -> None:
    stamp_of = runpy.run_path(str(ROOT / "scripts" / "environment.py"))["stamp_of"]
    plain = stamp_of(["tests/constraints.txt"])
    assert stamp_of(["tests/constraints.txt"]) == plain
    assert stamp_of([]) != plain
    monkeypatch.setenv("SSLSEG_TORCH", "--index-url https://example.org")
    assert stamp_of(["tests/constraints.txt"]) != plain


def test_torch_arguments_of_the_user_overrule_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = runpy.run_path(str(ROOT / "scripts" / "environment.py"))["torch_arguments"]
    monkeypatch.setenv("SSLSEG_TORCH", "--index-url 'https://example.org/a b'")
    assert arguments()[1:] == ["--index-url", "https://example.org/a b"]
    constraints = (ROOT / "tests" / "constraints.txt").read_text().splitlines()
    assert arguments()[0] in constraints


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_python_that_is_too_old_is_refused_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    told = subprocess.run(
        [ROOT / "scripts" / "find-python"],
        env=os.environ | {"PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert told.stdout == ""
    assert len(told.stderr.splitlines()) == 1
    assert "3.11" in told.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_readme_names_only_commands_that_exist_and_all_of_them() -> None:
    from typer.main import get_command

    from sslseg.cli import app

    table = re.findall(r"^\| (`sslseg .*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = re.findall(r"`(?:sslseg )?([a-z-]+)", " ".join(table))
    assert set(named) == set(get_command(app).commands)

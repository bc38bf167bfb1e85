"""A process may hold as many volumes open as a project has."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sslseg.storage.handles import allow_open_files

if sys.platform == "win32":
    pytest.skip("Windows has no limit of this kind", allow_module_level=True)

import resource


@pytest.fixture
def low_limit():
    """What a terminal on macOS gives, or less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    yield 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_volumes_than_the_limit_can_be_open(low_limit, tmp_path):
    np.save(tmp_path / "image.npy", np.zeros(8, np.float16))
    allow_open_files(low_limit)
    opened = [np.load(tmp_path / "image.npy", mmap_mode="r") for _ in range(low_limit)]
    assert len(opened) == low_limit


def test_the_limit_is_never_lowered(low_limit):
    allow_open_files(5)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == low_limit


def test_more_than_the_system_allows_is_no_error(low_limit):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_open_files(10**9)
    soft, after = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert after == hard
    assert soft >= low_limit

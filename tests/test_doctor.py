from __future__ import annotations

import getpass
import json
from pathlib import Path

from sslseg import doctor


def test_report_is_json_and_names_the_essentials():
    report = doctor.examine()
    assert json.loads(json.dumps(report)) == report
    assert report["versions"]["torch"]
    assert report["devices"][-1]["kind"] == "cpu"
    assert report["cpu"]["torch_threads"] >= 1
    assert report["problems"] == []


def test_a_broken_torch_is_reported_and_nothing_fails(monkeypatch):
    def broken():
        raise OSError("c10.dll was not found")

    monkeypatch.setattr(doctor, "devices", broken)
    monkeypatch.setattr(doctor, "cpu", broken)
    report = doctor.examine()
    assert report["devices"] == []
    assert report["problems"][0] == "devices: OSError: c10.dll was not found"
    assert "c10.dll" in doctor.words(report)


def test_no_names_of_people(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    text = f"{Path.home() / 'scans'} of jane, janet's friend"
    assert doctor.redacted({"a": [text]}) == {
        "a": [f"{Path('~') / 'scans'} of <user>, janet's friend"]
    }


def test_missing_packages_are_none():
    assert doctor.version("no-such-package-at-all") is None

"""One thread while the cores are busy, all of them when they are free."""

from __future__ import annotations

import pytest

from sslseg.training.threads import REST_SECONDS, Threads


class Machine:
    """Steps take what they would take: `alone` on one thread, `full` on all."""

    def __init__(self, full: float, alone: float) -> None:
        self.full, self.alone = full, alone
        self.threads, self.now = 2, 0.0
        self.governor = Threads(2, self.set, lambda: self.now)

    def set(self, threads: int) -> None:
        self.threads = threads

    def run(self, steps: int) -> None:
        for _ in range(steps):
            seconds = self.full if self.threads == 2 else self.alone
            self.now += seconds
            self.governor.note(seconds)


def test_a_calm_machine_ends_up_with_all_threads_after_one_look_at_a_single_one():
    machine = Machine(full=0.04, alone=0.06)
    machine.run(4)
    assert machine.threads == 1
    machine.run(4)
    assert machine.threads == 2
    machine.run(400)
    assert machine.threads == 2


def test_a_busy_machine_is_noticed_within_seconds_though_nothing_calm_came_before():
    machine = Machine(full=1.5, alone=0.06)
    machine.run(6)
    assert machine.threads == 1
    assert machine.now < 4


def test_it_goes_back_when_the_cores_are_free_again():
    machine = Machine(full=0.04, alone=0.06)
    machine.run(100)
    machine.full = 1.5
    machine.run(8)
    assert machine.threads == 1
    machine.full = 0.04
    machine.run(int(REST_SECONDS / 0.06) + 12)
    assert machine.threads == 2


def test_longer_steps_of_a_later_phase_do_not_cost_a_thread():
    machine = Machine(full=0.04, alone=0.06)
    machine.run(100)
    machine.full, machine.alone = 0.12, 0.18
    machine.run(8)
    assert machine.threads == 2


@pytest.mark.parametrize("steps", [1, 50])
def test_with_a_single_core_nothing_is_tried(steps):
    calls: list[int] = []
    governor = Threads(1, calls.append)
    for _ in range(steps):
        governor.note(5.0)
    assert calls == []

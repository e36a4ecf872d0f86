"""Files of sandboxes that the runtime does not list are found, in bounded steps, whatever they hold."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import strategies

from mooring.node import records
from tests.unit.agent.conftest import journal

if TYPE_CHECKING:
    from pathlib import Path

BOOT = "11111111-2222-3333-4444-555555555555"


def clock(*, later: float = 0.0) -> records.Clock:
    found = records.Clock.now(BOOT)
    return records.Clock(wall=found.wall + later, boottime=found.boottime + later, boot=BOOT)


def sandbox(number: int) -> str:
    return f"{number:064x}"


def write(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"{sandbox(number)}@eth0.jsonl").write_bytes(journal(boot=BOOT, undone=number % 2 == 1))


def test_a_search_is_bounded_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    write(tmp_path, *range(10))
    listed = {sandbox(3), sandbox(9)}
    behind, steps = "", []
    for _ in range(3):
        search = records.unlisted(tmp_path, listed=listed, behind=behind, most=3, clock=clock())
        assert search.total == 8
        steps.append([int(each.container, 16) for each in search.found])
        behind = search.behind
    assert steps == [[0, 1, 2], [4, 5, 6], [7, 8]]
    assert behind == ""


def test_what_a_journal_says_is_told(tmp_path: Path) -> None:
    write(tmp_path, 0, 1)
    (tmp_path / f"{sandbox(2)}@net-1.jsonl").write_bytes(journal(boot="another"))
    (tmp_path / ".hidden@eth0.jsonl.tmp").touch()
    now = clock(later=100)
    plain, ending, other = records.unlisted(tmp_path, listed=(), behind="", most=9, clock=now).found
    assert (plain.ending, ending.ending) == (False, True)
    assert (plain.interface, plain.pod) == ("eth0", "default/web")
    assert plain.changed == pytest.approx(now.boottime - 100, abs=20)
    assert (other.interface, other.changed) == ("net-1", None)


def test_a_file_from_before_a_clock_was_set_right_is_no_older_than_the_boot(tmp_path: Path) -> None:
    write(tmp_path, 0)
    jumped = records.Clock(wall=clock().wall + 10**9, boottime=50.0, boot=BOOT)
    (found,) = records.unlisted(tmp_path, listed=(), behind="", most=9, clock=jumped).found
    assert found.changed == 0


def test_a_file_from_the_future_is_new(tmp_path: Path) -> None:
    write(tmp_path, 0)
    (found,) = records.unlisted(tmp_path, listed=(), behind="", most=9, clock=clock(later=-5000)).found
    assert found.changed == pytest.approx(clock(later=-5000).boottime, abs=20)


def test_the_lock_of_a_call_shows(tmp_path: Path) -> None:
    write(tmp_path, 0)
    path = tmp_path / f"{sandbox(0)}@eth0.jsonl"
    assert not records.locked(path)
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert records.locked(path)
    assert not records.locked(path)
    path.unlink()
    assert not records.locked(path)


@hypothesis.given(strategies.binary(max_size=200))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_files_may_hold_anything(tmp_path: Path, content: bytes) -> None:
    for name in (f"{sandbox(1)}@eth0.jsonl", f"pods-{sandbox(1)}-eth0", "10.1.1.2", f"x-{sandbox(2)}-"):
        (tmp_path / name).write_bytes(content)
    (journal_found,) = records.unlisted(tmp_path, listed=(), behind="", most=9, clock=clock()).found
    assert journal_found.container == sandbox(1)
    found = records.orphaned_results(tmp_path, network="", listed=(), known=(), most=9, clock=clock())
    assert [(each.container, each.interface) for each in found] == [(sandbox(1), "eth0")]
    records.orphaned_leases([tmp_path], listed=(), known=(), most=9, clock=clock())


def test_what_can_be_told_of_a_sandbox_is_taken_from_all_its_results(tmp_path: Path) -> None:
    entries = {
        f"a-{sandbox(1)}-net1": '{"ifName": "net1", "netns": "/run/netns/x", "mooring": {"default": false}}',
        f"b-{sandbox(1)}-e0": '{"ifName": "e0", "mooring": {"default": true}, '
        '"cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "till"]]}',
    }
    for name, text in entries.items():
        (tmp_path / name).write_text(text)
    (found,) = records.orphaned_results(tmp_path, network="", listed=(), known=(), most=9, clock=clock())
    assert (found.interface, found.netns, found.pod) == ("e0", "/run/netns/x", "shop/till")


def test_a_lease_that_another_has_by_now_stays(tmp_path: Path) -> None:
    path = tmp_path / "10.1.1.2"
    path.write_text(f"{sandbox(1)}\r\neth0")
    (lease,) = records.orphaned_leases([tmp_path], listed=(), known=(), most=9, clock=clock())
    path.write_text(f"{sandbox(2)}\r\neth0")
    assert not records.release(lease)
    assert path.exists()


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    for name in ("10.1.1.2", f"pods-{sandbox(1)}-eth7"):
        os.mkfifo(tmp_path / name)
    assert records.orphaned_leases([tmp_path], listed=(), known=(), most=9, clock=clock()) == []
    (found,) = records.orphaned_results(tmp_path, network="", listed=(), known=(), most=9, clock=clock())
    assert found.interface == "eth0"


def test_a_link_in_the_place_of_a_lease_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text(f"{sandbox(1)}\r\neth0")
    folder = tmp_path / "network"
    folder.mkdir()
    (folder / "10.1.1.2").symlink_to(target)
    assert records.orphaned_leases([folder], listed=(), known=(), most=9, clock=clock()) == []

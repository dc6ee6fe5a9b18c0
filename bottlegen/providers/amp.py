"""Amp: its models and its loop run on ampcode.com, the only host it needs; it holds a placeholder for its access token.

The token is named by `api_key`, or the one that `amp login` left on the host, which lasts until it is revoked.
The server answers with a token for each thread, which the agent then holds: no header can replace that one.
"""

import json
import posixpath

from bottlegen.agent_image import program_image
from bottlegen.apis import PLACEHOLDER, Api, refuse_both
from bottlegen.hostview import HostProvision, HostView
from bottlegen.login_file import LoginFile
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "forward_host_credentials"})

AMP_HOST_CREDENTIAL_TOKEN_REF = "AMP_HOST_CREDENTIAL_TOKEN_REF"  # noqa: S105 - the name of a secret
"""What a bundle calls the token of the host's login; `provision_host` puts the value under this name."""

token_refs: frozenset[str] = frozenset({AMP_HOST_CREDENTIAL_TOKEN_REF})
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="AMP_API_KEY", about="access token of ampcode.com/settings"),
    Credential(field="forward_host_credentials", name=AMP_HOST_CREDENTIAL_TOKEN_REF, about="login: amp login"),
)

_API = Api(host="ampcode.com")
_KEY = "AMP_API_KEY"
_ORIGIN = "provider amp"
_ENV = (("AMP_SKIP_UPDATE_CHECK", "1"),)
_SETTINGS = {"amp.dangerouslyAllowAll": True, "amp.updates.mode": "disabled"}
_SESSION = {"neoWelcomeDismissed": True}
"""Without it an interactive start shows a tour of five pages (0.0.1790142911)."""


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` or `forward_host_credentials` the token is injected; without either what the agent sends passes
    untouched."""
    refuse_both(agent, "forward_host_credentials", "api_key", "each is a token of the one host")
    ref = AMP_HOST_CREDENTIAL_TOKEN_REF if agent.forward_host_credentials else agent.api_key
    return ProvisionPlan(
        image=program_image(pins, "amp", agent.version),
        command=agent.command or ("amp",),
        egress_routes=(_API.route(ref, _ORIGIN),),
        env=(*_ENV, (_KEY, PLACEHOLDER)) if ref else _ENV,
        hidden_env_names=frozenset({_KEY}) if ref else frozenset(),
        files=(
            AgentFile(path=".config/amp/settings.json", content=_json(_SETTINGS), keep=True),
            AgentFile(path=".local/share/amp/session.json", content=_json(_SESSION), keep=True),
        ),
    )


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2) + "\n"


def provision_host(token_refs: frozenset[str], host: HostView) -> HostProvision:
    """The token of the host's login, when the bundle has a slot for it; else nothing."""
    if AMP_HOST_CREDENTIAL_TOKEN_REF not in token_refs:
        return HostProvision()
    path = posixpath.join(host.home, ".local/share/amp/secrets.json")
    file = LoginFile(path=path, what="Amp login", fix="amp login")
    token = file.secret(file.read(host).get(f"apiKey@https://{_API.host}/"))
    return HostProvision(env=((AMP_HOST_CREDENTIAL_TOKEN_REF, token),))

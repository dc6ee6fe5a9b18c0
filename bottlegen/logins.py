"""Logins that several agents keep alike: an auth.json with an entry for each service, of which one goes to a bottle.

The access token is the only secret that is taken out of it. The agent gets the same file with that one entry, whose
tokens are dummies that last: it never tries to renew them, and `refresh` brings what the host renewed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from bottlegen import chatgpt
from bottlegen.apis import PLACEHOLDER
from bottlegen.errors import PlanError, Problem
from bottlegen.hostview import HostProvision, HostView
from bottlegen.login_file import LoginFile
from bottlegen.plan import AgentFile, AgentProvider, Auth, Credential, Route

FAR = 4102444800
"""Seconds since the epoch: the year 2100."""

EXPIRY_MARGIN = 60
"""Seconds that a login must still last for a start to be worth it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One entry. `entry` is its key and what the models of it begin with, `token_ref` what a bundle calls its token.

    The agent holds `held` for a token. Of a ChatGPT login (`account`) it holds one that names the account, as every
    request does. `expires` False where the service's tokens do not, which these agents write as 0.
    """

    entry: str
    token_ref: str
    about: str
    host: str
    paths: tuple[str, ...] = ()
    held: str = PLACEHOLDER
    account: bool = False
    expires: bool = True

    def credential(self) -> Credential:
        return Credential(field="forward_host_credentials", name=self.token_ref, about=self.about)

    def route(self, origin: str) -> Route:
        auth = Auth(token_ref=self.token_ref)
        return Route(host=self.host, paths=self.paths, auth=auth, tls_passthrough=True, origin=origin)


def chatgpt_login(entry: str, token_ref: str, about: str) -> Login:
    """A ChatGPT login; these agents ask nothing else of its host than Codex's answers."""
    return Login(
        entry=entry, token_ref=token_ref, about=about, host=chatgpt.HOST, paths=("/backend-api/codex/**",), account=True
    )


def of_agent(agent: AgentProvider, model: str, known: tuple[Login, ...]) -> Login | None:
    """The login that serves `model`, None when the profile asks for none; PlanError when no login can."""
    if not agent.forward_host_credentials:
        return None
    name = model.partition("/")[0]
    found = next((login for login in known if login.entry == name), None)
    if found is None:
        names = ", ".join(login.entry for login in known)
        raise PlanError(
            Problem(
                what=f"model '{model}' is of no service whose login can be forwarded",
                fix=f"write it as service/model with one of: {names}; or name a key with api_key",
            )
        )
    return found


def provision(login: Login | None, file: LoginFile, path: str, host: HostView) -> HostProvision:
    """The token of the host's `file`, and its dummy for `path` in the agent's home; nothing without a login."""
    if login is None:
        return HostProvision()
    entry = file.read(host).get(login.entry)
    if not isinstance(entry, dict) or entry.get("type") != "oauth":
        raise file.refusal(f"the host's {file.what} has no login in its entry '{login.entry}'")
    token = file.secret(entry.get("access"))
    ends = file.lasts(entry.get("expires"), host.now, EXPIRY_MARGIN) if login.expires else None
    dummy = _dummy(login, _account(entry, token.reveal(), file) if login.account else "")
    content = json.dumps({login.entry: dummy}, sort_keys=True, indent=2) + "\n"
    return HostProvision(
        env=((login.token_ref, token),),
        files=(AgentFile(path=path, content=content),),
        expires=((login.token_ref, ends),) if ends is not None else (),
    )


def _account(entry: Mapping[str, object], token: str, file: LoginFile) -> str:
    account = entry.get("accountId") or chatgpt.account_claims(chatgpt.claims_of(token)).get("chatgpt_account_id")
    if not isinstance(account, str):
        raise file.refusal(f"the host's {file.what} holds no account id")
    return account


def _dummy(login: Login, account: str) -> Mapping[str, object]:
    dummy: dict[str, object] = {
        "type": "oauth",
        "access": chatgpt.dummy_token(account, "unknown", FAR) if account else login.held,
        "refresh": PLACEHOLDER,
        "expires": FAR * 1000 if login.expires else 0,
    }
    return {**dummy, "accountId": account} if account else dummy

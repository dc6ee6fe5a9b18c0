"""What a person's login leaves on a host, with canaries for secrets, to be looked for wherever they must not be."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CodexLogin:
    """A ChatGPT login of Codex. `canary` stands in every token, in the part that no one needs to parse."""

    account: str = "acct-pretend"
    plan: str = "pro"
    expires: int
    canary: str = "canary"

    @property
    def access_token(self) -> str:
        return self._jwt("access", self.expires)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be found anywhere: the tokens whole, and the part of them that is the secret."""
        return (self.access_token, self._signature("access"), self._signature("id"), self._refresh_token)

    @property
    def _refresh_token(self) -> str:
        return f"refresh-{self.canary}"

    def auth_json(self) -> str:
        """The file as `codex login` writes it; an id token lives for an hour only, and is long out of date."""
        tokens = {
            "id_token": self._jwt("id", self.expires - 10 * 86400),
            "access_token": self.access_token,
            "refresh_token": self._refresh_token,
            "account_id": self.account,
        }
        return json.dumps({"OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2026-01-01T00:00:00Z"})

    def _signature(self, kind: str) -> str:
        return _encode(f"{kind}-signature-{self.canary}".encode())

    def _jwt(self, kind: str, expires: int) -> str:
        about = {"chatgpt_account_id": self.account, "chatgpt_plan_type": self.plan, "chatgpt_user_id": "user-pretend"}
        claims = {"exp": expires, "email": "someone@example.com", "https://api.openai.com/auth": about}
        return jwt(claims, self._signature(kind))


def jwt(claims: Mapping[str, Any], signature: str = "c2lnbmF0dXJl") -> str:
    """A token of the given claims; nothing here checks signatures."""
    header = _encode(b'{"alg":"RS256","typ":"JWT"}')
    return f"{header}.{_encode(json.dumps(claims).encode())}.{signature}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

"""ChatGPT logins as agents keep them: access tokens are JWTs, and a dummy one carries what identifies and nothing that
authenticates.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Final, cast

from bottlegen.apis import PLACEHOLDER

HOST: Final = "chatgpt.com"

_CLAIMS = "https://api.openai.com/auth"
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def claims_of(token: object) -> Mapping[str, object] | None:
    """What a JWT says, unverified; None for what is none. No exception leaves here: it would carry the text."""
    if not isinstance(token, str) or not _JWT.fullmatch(token):
        return None
    payload = token.split(".")[1]
    try:
        value = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def account_claims(claims: Mapping[str, object] | None) -> Mapping[str, object]:
    """What the claims say of the account: `chatgpt_account_id`, `chatgpt_plan_type`."""
    about = (claims or {}).get(_CLAIMS)
    return cast("Mapping[str, object]", about) if isinstance(about, dict) else {}


def dummy_token(account_id: str, plan_type: str, expires: int) -> str:
    """Three base64url parts, as agents parse them; unsigned, so worth nothing to anybody else. `expires` in seconds
    since the epoch."""
    account = {
        "chatgpt_account_id": account_id,
        "chatgpt_plan_type": plan_type,
        "chatgpt_user_id": PLACEHOLDER,
    }
    claims = {"email": "agent@bottle.invalid", "exp": expires, _CLAIMS: account}
    return ".".join((_part({"alg": "none", "typ": "JWT"}), _part(claims), _base64url(PLACEHOLDER.encode())))


def _part(value: object) -> str:
    return _base64url(json.dumps(value, sort_keys=True).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

"""Sessions towards registries: the proxies and the trust of this host, from what is passed in, and nothing else."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter

from bottlegen.errors import RuntimeFailure

TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""


def session(env: Mapping[str, str], ca_file: Path | None) -> requests.Session:
    """Proxies from `env` alone; trust is the platform's, SSL_CERT_FILE, and `ca_file` on top."""
    made = requests.Session()
    made.trust_env = False
    made.proxies = _proxies(env)
    context = ssl.create_default_context()
    for extra in (env.get("SSL_CERT_FILE"), ca_file):
        if extra:
            _trust(context, Path(extra))
    made.mount("https://", _ContextAdapter(context))
    return made


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    names = {"http": "http_proxy", "https": "https_proxy", "no_proxy": "no_proxy"}
    found = {key: env.get(name) or env.get(name.upper()) for key, name in names.items()}
    return {key: value for key, value in found.items() if value}


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as e:
        raise RuntimeFailure(
            f"cannot read certificates from '{ca_file}': {e}",
            fix="point SSL_CERT_FILE to a PEM file of CA certificates",
        ) from e


class _ContextAdapter(HTTPAdapter):
    """requests takes a CA file, but not a context that adds one to the platform's roots."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)  # type: ignore[arg-type]

    def proxy_manager_for(self, proxy: str, **kwargs: object) -> object:
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        """The context decides: requests' own roots are not added to it."""


def reason(error: Exception) -> str:
    """Why a request failed, without what an address may hold for a login."""
    response = getattr(error, "response", None)
    text = f"HTTP {response.status_code} from {response.url}" if response is not None else str(error)
    return re.sub(r"//[^/@\s']*@", "//", text)


def remedy(error: Exception, settings: str) -> str:
    """What to look at; `settings` name the registry that was asked."""
    if isinstance(error, requests.exceptions.SSLError):
        return "if this network inspects TLS, set SSL_CERT_FILE to its CA, or [upstream] ca_file in host.toml"
    return f"check the network, HTTPS_PROXY and {settings}"

"""The environment that every bottle sets for its agent, whichever agent that is, and the names it therefore owns."""

from functools import cache

from bottlegen.plan import HOME, MATERIAL, PROXY_HOST, PROXY_PORT

CA_BUNDLE = f"{MATERIAL}/ca-bundle.crt"
"""System roots and the bottle's CA in one file."""

CA = f"{MATERIAL}/ca.crt"
"""The bottle's CA alone, for clients that add a file to their own roots."""

USER = "agent"
_NO_PROXY = "localhost,127.0.0.1,::1,cred-proxy,git-gate"
_BUNDLE_NAMES = (
    "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO", "DENO_CERT",
)  # fmt: skip

# Not set by the bottle, but they would move its proxy or trust, switch checks off, or reach into its entry gate.
_ALSO_OWNED = frozenset({
    "BASH_ENV", "CARGO_HTTP_CHECK_REVOKE", "CARGO_HTTP_PROXY", "CURL_SSL_BACKEND", "FTP_PROXY", "GIT_PROXY_COMMAND",
    "GIT_PROXY_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY", "GIT_SSL_VERSION", "GLOBAL_AGENT_HTTPS_PROXY",
    "GLOBAL_AGENT_HTTP_PROXY", "HOSTALIASES", "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_USE_SYSTEM_CA", "NPM_CONFIG_CA",
    "NPM_CONFIG_HTTP_PROXY", "NPM_CONFIG_NOPROXY", "NPM_CONFIG_STRICT_SSL", "OPENSSL_CONF", "PATH", "PIP_PROXY",
    "PIP_TRUSTED_HOST", "PYTHONHTTPSVERIFY", "RES_OPTIONS", "SSLKEYLOGFILE", "SSL_CERT_DIR", "WSS_PROXY", "WS_PROXY",
})  # fmt: skip
_OWNED_PREFIXES = ("GIT_CONFIG", "LD_", "BOTTLE_")
# Trust variables of single agents: their providers set them, and may come after a profile was written.
_OWNED_SUFFIXES = ("_CA_BUNDLE", "_CA_CERTIFICATE", "_CA_CERTS", "_CA_FILE", "_CAINFO")


@cache
def bottle_env() -> tuple[tuple[str, str], ...]:
    """Every variable the bottle itself sets for the agent, sorted by name."""
    proxy = f"http://{PROXY_HOST}:{PROXY_PORT}"
    env = dict.fromkeys(_BUNDLE_NAMES, CA_BUNDLE)
    for name, value in (("HTTP_PROXY", proxy), ("HTTPS_PROXY", proxy), ("ALL_PROXY", proxy), ("NO_PROXY", _NO_PROXY)):
        env |= {name: value, name.lower(): value}
    env |= {
        "HOME": HOME,
        "LOGNAME": USER,
        "NODE_EXTRA_CA_CERTS": CA,
        "NODE_USE_ENV_PROXY": "1",
        "USER": USER,
        "npm_config_cafile": CA_BUNDLE,
        "npm_config_https_proxy": proxy,
        "npm_config_noproxy": _NO_PROXY,
        "npm_config_proxy": proxy,
    }
    return tuple(sorted(env.items()))


@cache
def _owned() -> frozenset[str]:
    return _ALSO_OWNED | {name.upper() for name, _ in bottle_env()}


def owns(name: str) -> bool:
    """Whether a profile may not set `name`; in any case, since npm and others read both."""
    upper = name.upper()
    return upper in _owned() or upper.startswith(_OWNED_PREFIXES) or upper.endswith(_OWNED_SUFFIXES)

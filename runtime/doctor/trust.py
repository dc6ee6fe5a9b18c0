"""Which authorities this host trusts towards the internet, a company's own among them, and whether bottles will too."""

import ssl
from pathlib import Path

from bottlegen.errors import HostError
from runtime.doctor.finding import Finding, Level, of_problems
from runtime.host import Host

_WHY = "the sidecars trust these authorities: without them no upstream can be reached"
_OTHERS = ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "npm_config_cafile")
"""Where a company's CA often stands for other programs; bottlegen reads none of them."""


Ends = tuple[float, ...]
"""When certificates end, in seconds since the epoch."""


def trust(host: Host, roots: Path, there: Ends, now: float) -> list[Finding]:
    """The host's roots, of which `there` is known, and what SSL_CERT_FILE or host.toml add to them."""
    found = _own(host, roots, now)
    if not there:
        what = f"'{roots}' holds no certificate that can be read"
        return [_finding("problem", what, _WHY, "sudo apt install --reinstall ca-certificates"), *found]
    return [_finding("ok", f"{len(there)} authorities in '{roots}'"), *found]


def _own(host: Host, roots: Path, now: float) -> list[Finding]:
    path = host.ca_file
    if path is None:
        elsewhere = [name for name in _OTHERS if host.env.get(name) and not _same(Path(host.env[name]), roots)]
        return [_forgotten(elsewhere[0], host.env[elsewhere[0]])] if elsewhere else []
    if _same(path, roots):
        return []
    try:
        host.extra_trust()
    except HostError as e:
        return of_problems("trust", e.problems, "every start reads it, and fails")
    there = ends(path)
    if not there:
        return [
            _finding("problem", f"'{path}' holds no certificate that can be read", _WHY, f"openssl x509 -in '{path}'")
        ]
    if max(there) < now:
        what = f"every authority in '{path}' has expired"
        return [_finding("problem", what, _WHY, "ask for your company's present CA file, and name it there")]
    return [_finding("ok", f"{len(there)} authorities of this host's own in '{path}'")]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _forgotten(name: str, value: str) -> Finding:
    return _finding(
        "warn",
        f"{name} names a CA file, and neither SSL_CERT_FILE nor host.toml does",
        "bottlegen does not read that variable: behind a proxy that inspects TLS, downloads and upstreams would fail",
        f"export SSL_CERT_FILE='{value}'   # or [upstream] ca_file in host.toml",
    )


def ends(path: Path) -> Ends:
    """The ends of the certificates in a file; none where it cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError):
        return ()
    return tuple(ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs())


def _finding(level: Level, what: str, why: str = "", fix: str = "") -> Finding:
    return Finding(level=level, area="trust", what=what, why=why, fix=fix)

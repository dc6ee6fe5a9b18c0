"""Host names of routes: a name or `*.suffix`, no address, no name of the bottle, no suffix shared by strangers."""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import urlsplit

from bottlegen import paths
from bottlegen.plan import PROXY_HOST
from bottlegen.wording import Refusal, shown

OWNED = frozenset({PROXY_HOST, "localhost", "cred-proxy", "git-gate", "pipelock"})
"""Names that mean a part of the bottle, or the agent itself, inside every bottle."""

# A sample of publicsuffix.org: under these anybody can register a name, so a wildcard would allow everybody.
_REGISTRIES = frozenset({"ac", "co", "com", "edu", "gov", "mil", "net", "org"})
_SHARED = frozenset({
    "me.uk", "ltd.uk", "plc.uk", "sch.uk", "nhs.uk", "ne.jp", "or.jp", "go.jp", "ad.jp", "gr.jp", "lg.jp", "id.au",
    "asn.au", "govt.nz", "geek.nz", "web.za", "nom.br", "gob.mx", "gob.ar", "or.kr", "re.kr", "go.kr", "idv.tw",
    "or.at", "gv.at", "asso.fr", "gouv.fr", "eu.org", "uk.com", "us.com", "de.com", "github.io", "gitlab.io",
    "bitbucket.io", "codeberg.page", "pages.dev", "workers.dev", "r2.dev", "vercel.app", "now.sh", "netlify.app",
    "herokuapp.com", "azurewebsites.net", "azurestaticapps.net", "azureedge.net", "cloudapp.net",
    "cloudapp.azure.com", "blob.core.windows.net", "web.core.windows.net", "core.windows.net", "windows.net",
    "trafficmanager.net", "cloudfront.net", "amazonaws.com", "s3.amazonaws.com", "elasticbeanstalk.com", "on.aws",
    "amplifyapp.com", "web.app", "firebaseapp.com", "appspot.com", "run.app", "cloudfunctions.net", "a.run.app",
    "fly.dev", "onrender.com", "render.com", "railway.app", "deno.dev", "deno.net", "glitch.me", "repl.co",
    "replit.app", "replit.dev", "surge.sh", "blogspot.com", "wordpress.com", "ngrok.io", "ngrok.app", "ngrok.dev",
    "ngrok-free.app", "ngrok-free.dev", "trycloudflare.com", "loca.lt", "readthedocs.io", "readthedocs-hosted.com",
    "supabase.co", "hf.space", "gitpod.io", "githubpreview.dev", "app.github.dev", "digitaloceanspaces.com",
    "ondigitalocean.app", "b-cdn.net", "fastly.net", "fastly-edge.com", "edgecompute.app", "akamaized.net",
    "duckdns.org", "nip.io", "sslip.io", "xip.io", "dyndns.org", "no-ip.org", "ddns.net", "myshopify.com",
    "translate.goog", "oast.fun", "oast.pro", "webhook.site", "requestbin.net", "pipedream.net",
})  # fmt: skip
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")
_LIKE_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_LIKE_V6 = re.compile(r"\[?(?P<address>[0-9a-f:.]++(?:%\w*)?)(?:\](?::\d*)?)?\Z")
_LIKE_URL = re.compile(r"(?:(?P<scheme>[a-z][a-z0-9+.-]*):)?//(?P<rest>.*)\Z")
_LONGEST = 253


@lru_cache(maxsize=20_000)
def parse(text: str) -> str:
    """`text` in lower case without the trailing dot; Refusal when it names no host that a route may have."""
    if not text:
        raise Refusal("host is empty", 'host = "api.example.com"')
    if len(text) > _LONGEST + len("*.") + 1:
        raise Refusal(f"host is longer than {_LONGEST} characters", "write the name alone")
    name = text.lower()
    _refuse_url(text, name)
    _refuse_address(text, name.removesuffix("."))
    if not text.isascii():
        raise Refusal(f"host {shown(text)} is not ASCII", f'host = "{_ascii(text)}"')
    name = name.removesuffix(".")
    suffix = name.removeprefix("*.")
    _refuse_labels(text, name, suffix)
    if suffix in OWNED or suffix.endswith(".localhost"):
        raise Refusal(
            f"host {shown(text)} belongs to the bottle", "remove the route: what is inside a bottle needs none"
        )
    if suffix != name:
        _refuse_shared(text, suffix)
    return name


def _refuse_url(text: str, name: str) -> None:
    """A URL, or a part of one, is refused with its host as the fix."""
    url = _LIKE_URL.match(name)
    rest = url["rest"] if url else name
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    bare, _, port = host.partition(":") if host.count(":") == 1 else (host, "", "")
    fix = (
        f'host = "{bare if bare.isascii() else _ascii(bare)}"'
        if bare and not shown(bare).startswith("<")
        else "write the name alone"
    )
    if "@" in rest:
        # The part before the '@' may be a password.
        raise Refusal("host holds user information ('@')", fix)
    if url:
        raise Refusal(f"host {shown(text)} holds a scheme", fix)
    if re.search(r"[/?#\\]", rest):
        raise Refusal(
            f"host {shown(text)} holds a path",
            f'{fix}\npaths = ["/…/**"]' if "\\" not in rest else "write the name alone",
        )
    if port or (host.endswith(":") and bare):
        number = port if port.isdecimal() and len(port) <= 5 else "443"
        raise Refusal(f"host {shown(text)} holds a port", f"{fix}\nport = {number}")


def _refuse_address(text: str, name: str) -> None:
    """A name whose last label is a number is an IPv4 address to many resolvers: 2130706433, 0x7f.1, 0177.0.0.1
    (https://url.spec.whatwg.org/#ends-in-a-number-checker)."""
    name = _folded(name)
    v6 = _LIKE_V6.match(name) if name.count(":") > 1 else None
    if v6 or _LIKE_NUMBER.match(name.rpartition(".")[2]):
        address = v6["address"] if v6 else name
        fix = f'name the host here; its address belongs into host.toml: [upstream] hosts = {{ "NAME" = "{address}" }}'
        raise Refusal(f"host {shown(text)} is an IP address", fix)


def _refuse_labels(text: str, name: str, suffix: str) -> None:
    if "*" in suffix:
        what = "is a bare wildcard" if name == "*" else "has a '*' that is not its first label"
        raise Refusal(f"host {shown(text)} {what}", 'name the hosts, or a suffix: host = "*.example.com"')
    if len(name) > _LONGEST:
        raise Refusal(f"host is longer than {_LONGEST} characters", "write the name alone")
    for label in suffix.split("."):
        if not label:
            raise Refusal(f"host {shown(text)} has an empty label", "write one dot between labels")
        if len(label) > 63:
            raise Refusal(f"host {shown(text)} has a label of more than 63 characters", "shorten the label")
        if "_" in label:
            raise Refusal(f"host {shown(text)} has an underscore", "a host name holds letters, digits and '-'")
        if not _LABEL.match(label):
            raise Refusal(
                f"host {shown(text)} is not a host name", "a label holds letters and digits, with '-' only between them"
            )


def _refuse_shared(text: str, suffix: str) -> None:
    labels = suffix.split(".")
    # A country's own registry, like co.uk.
    country = len(labels) == 2 and labels[0] in _REGISTRIES and len(labels[1]) == 2
    if len(labels) == 1 or country or suffix in _SHARED:
        raise Refusal(
            f"host {shown(text)} covers names of strangers: anybody can have one under '{suffix}'",
            f'name the hosts, or a longer suffix: host = "*.example.{suffix}"',
        )


def _ascii(text: str) -> str:
    """The xn-- form of `text`, label by label (RFC 3492)."""
    return ".".join(label if label.isascii() else _punycode(label) for label in _folded(text).split("."))


def _punycode(label: str) -> str:
    # Its time grows with the square; and a longer one is no label anyway.
    return f"xn--{label.encode('punycode').decode()}" if len(label) <= 63 else "xn--…"


def _folded(text: str) -> str:
    """`text` as resolvers and browsers read it: wide letters, digits and dots are their plain twins."""
    # Cut after it too, for one character may become eighteen.
    folded = unicodedata.normalize("NFKC", text[:_LONGEST]).lower()[:_LONGEST]
    return folded.replace("\u3002", ".").removesuffix(".")


def instance_url(text: str) -> str:
    """An https address of a server: a host, perhaps a port and a path, and nothing that could be a secret."""
    fix = 'url = "https://git.example.org"'
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as e:
        raise Refusal(f"url {shown(text)} is no address", fix) from e
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password or port == 0:
        raise Refusal(f"url {shown(text)} is not https://HOST, or holds more than an address", fix)
    if parts.query or parts.fragment or paths.refusal(parts.path or "/") or "*" in parts.path:
        raise Refusal(f"url {shown(text)} holds more than an address", fix)
    host = parse(parts.hostname)
    if host.startswith("*"):
        raise Refusal(f"url {shown(text)} names no single host", fix)
    return f"https://{host}{f':{port}' if port not in (None, 443) else ''}{parts.path.rstrip('/')}"

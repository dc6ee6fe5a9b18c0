"""Rules for the values of a git remote in a profile: each function returns the one spelling or raises Refusal."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from bottlegen import hostname, paths, secret_shapes
from bottlegen.fields import in_bytes
from bottlegen.wording import Refusal, shown

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_PATH = re.compile(r"(?:/[A-Za-z0-9_~][A-Za-z0-9._~-]*)+\Z")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SCP = re.compile(r"(?P<user>[^@/:]+)@(?P<host>[^@/:]+):(?P<path>[^/].*)\Z")
_KEY = re.compile(r"(?P<kind>ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{32,2048}={0,2}\Z")
_PORTS = {"https": 443, "ssh": 22}
_LONGEST = 1024
_EXAMPLE = 'url = "https://github.com/acme/site.git"'
_SIZES = (2**20, 2**40)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitUrl:
    """Where a remote is: `path` begins with '/' and has no '.git' and no '/' at its end; `user` is for ssh alone."""

    transport: str
    user: str
    host: str
    port: int
    path: str
    suffix: str

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port != _PORTS[self.transport] else ""
        return f"{self.transport}://{user}{self.host}{port}{self.path}{self.suffix}"


def name(text: str) -> str:
    if not _NAME.match(text):
        raise Refusal(f"name {shown(text)} is no name for a remote", "use a-z, 0-9 and '-', at most 63 characters")
    return text


def url(text: str) -> str:
    """The URL in its one spelling: https or ssh, no credential, no query; `git@host:path` becomes ssh."""
    return str(parse_url(text))


def parse_url(text: str) -> GitUrl:
    if len(text) > _LONGEST:
        raise Refusal(f"url is longer than {_LONGEST} characters", _EXAMPLE)
    # The part before an '@' may be a password, so nothing of such a URL is shown.
    found = "" if "@" in text or secret_shapes.literal_kind(text) else f" {shown(text)}"
    if scp := _SCP.match(text):
        text = f"ssh://{scp['user']}@{scp['host']}/{scp['path']}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as e:
        raise Refusal(f"url{found} is no URL", _EXAMPLE) from e
    if parts.scheme not in _PORTS:
        raise Refusal(f"url{found} is neither https nor ssh", _EXAMPLE)
    user = _user(parts.scheme, parts.username, parts.password)
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise Refusal(f"url{found} has a query or a fragment", _EXAMPLE)
    path = parts.path.rstrip("/")
    if not _PATH.match(path) or path == "/.git":
        raise Refusal(f"url{found} names no repository", f"{_EXAMPLE}: letters, digits, '.', '-', '_' and '~'")
    suffix = ".git" if path.endswith(".git") else ""
    host = hostname.parse(parts.hostname or "")
    if host.startswith("*."):
        raise Refusal(f"url{found} has a wildcard", _EXAMPLE)
    return GitUrl(
        transport=parts.scheme, user=user, host=host, port=port or _PORTS[parts.scheme],
        path=path.removesuffix(".git"), suffix=suffix,
    )  # fmt: skip


def _user(scheme: str, user: str | None, password: str | None) -> str:
    if scheme == "https" and (user is not None or password is not None):
        raise Refusal(
            "url holds a user or a password", 'write it without, and token_ref = "NAME"; revoke what stood here'
        )
    if scheme == "https":
        return ""
    if password is not None or not _USER.match(user or ""):
        raise Refusal("url has no user name, or a password", 'url = "ssh://git@github.com/acme/site.git"')
    return user or ""


def username(text: str) -> str:
    if not _USER.match(text) or secret_shapes.literal_kind(text):
        raise Refusal(f"username {shown(text)} is no user name", 'username = "x-access-token"')
    return text


def ref(text: str) -> str:
    """A pattern of refs; one that does not start with `refs/` is of branches."""
    full = text if text.startswith("refs/") else f"refs/heads/{text}"
    return _ref(text, full, 'write it like "agent/**", "fix-*" or "refs/notes/*"')


def pushed(text: str) -> str:
    """As `ref`, for what may be written."""
    full = ref(text)
    if full.startswith(("refs/tags", "refs/*")):
        raise Refusal(f"ref {shown(text)} covers tags", 'tags are allowed apart: tags = ["v*"]')
    return full


def tag(text: str) -> str:
    """A pattern of tags, by name or whole."""
    full = text if text.startswith("refs/tags/") else f"refs/tags/{text}"
    if text.startswith("refs/") and not text.startswith("refs/tags/"):
        raise Refusal(f"tag {shown(text)} is no tag", 'tags = ["v*"]')
    return _ref(text, full, 'tags = ["v*"]')


def _ref(text: str, full: str, fix: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9._+/*=-]+", text) and not re.search(r"\.\.|/\.|\.lock(/|$)|\.$|(^|/)-", text)
    if not plain or len(text) > _LONGEST or paths.refusal(f"/{full}") or full.endswith("/"):
        raise Refusal(f"ref {shown(text)} is no pattern of refs", fix)
    return full


def host_key(text: str) -> str:
    """The kind and the base64 form of a host's public key, without the name and the comment beside it."""
    words = text.split()
    found = " ".join(words[:2])
    if not _KEY.match(found):
        raise Refusal(
            "known_hosts holds something that is no public key of a host",
            'ssh-keyscan HOST shows lines "HOST KIND KEY": write "KIND KEY", such as "ssh-ed25519 AAAA…"',
        )
    return found


def max_size(value: object) -> object:
    """Bytes from '50MiB' or a number of bytes; other types are left to the type check."""
    value = in_bytes(value, "max_size", 'max_size = "100MiB", or a number of bytes')
    if isinstance(value, int) and not isinstance(value, bool) and not _SIZES[0] <= value <= _SIZES[1]:
        raise Refusal("max_size is below 1MiB or above 1TiB", 'max_size = "100MiB"')
    return value


def check_transport(url: str, token_ref: str | None, ssh_key_ref: str | None, known_hosts: list[str]) -> None:
    """Refusal when a remote's credential is not of its transport, or an ssh host could not be told from another."""
    if url.startswith("https://"):
        if ssh_key_ref or known_hosts:
            field = "ssh_key_ref" if ssh_key_ref else "known_hosts"
            raise Refusal(f"'{field}' is for an ssh:// url", 'use token_ref = "NAME", or an ssh:// url')
        return
    if token_ref:
        raise Refusal("'token_ref' is for an https:// url", 'use ssh_key_ref = "NAME", or an https:// url')
    if not ssh_key_ref:
        raise Refusal("a remote over ssh needs a key", 'add ssh_key_ref = "NAME", or use an https:// url')
    if not known_hosts:
        raise Refusal(
            "a remote over ssh needs the keys that its host may show",
            'add known_hosts = ["ssh-ed25519 AAAA…"], compared with what the host publishes',
        )

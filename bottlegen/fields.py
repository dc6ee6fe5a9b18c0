"""Rules for the single values of a profile: each function returns the value in its one spelling or raises Refusal."""

import math
import re
import warnings
from functools import lru_cache
from urllib.parse import unquote

from bottlegen import agent_env, nar, paths, secret_shapes
from bottlegen.wording import Refusal, shown

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")
"""RFC 9110, 5.6.2."""

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}\Z")
_TOKEN_REF = re.compile(r"[A-Z_][A-Z0-9_]{0,127}\Z")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_MODEL = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:@+-]*(/[0-9A-Za-z._:@+-]+){0,3}\Z")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}\Z")
_SIZE = re.compile(r"([0-9]{1,9})(KiB|MiB|GiB|TiB)\Z")
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_MEMORY = (64 * 2**20, 2**50)
_BODY = (2**20, 2**30)
_LONGEST_PATH = 1024
_RE2_ESCAPE = re.compile(r"\\(?:[dDwWsSbBAtnrfva]|x[0-9a-fA-F]{2}|[!-/:-@\[-`{-~ ])")
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_NOT_RE2 = re.compile(r"\(\?(?!:|[ims]+[:)]|P<[A-Za-z_][A-Za-z0-9_]*>)|[*+?}]\+|\{,")
_COUNT = re.compile(r"\(|\)?\{(\d+)(?:,(\d*))?\}|\)")
_MOST_REPEATS = 1000
_LAST_OF_JSON_IN_YAML = "\uffff"
"""What follows, JSON writes as a pair of escapes that YAML does not know."""

_once = lru_cache(maxsize=20_000)
"""Thousands of routes say the same few things, and two versions of a profile nearly all. Refusals are not kept."""

_FRAMING = frozenset({
    "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive", "expect",
    "via", "forwarded", "http2-settings", "content-encoding", "content-type",
})  # fmt: skip
_FRAMING_PREFIXES = ("proxy-", "x-forwarded-", "x-envoy-", "sec-", "access-control-")


@_once
def method(text: str) -> str:
    upper = text.upper()
    if upper == "*":
        raise Refusal("method '*' is no method", "leave methods out to allow all of them")
    if not _METHOD.match(upper):
        raise Refusal(f"method {shown(text)} is no HTTP method", 'methods = ["GET", "POST"]')
    if upper in ("CONNECT", "TRACE"):
        raise Refusal(
            f"method {shown(upper)} cannot be allowed", "remove it: tunnels and echoes go around the proxy's rules"
        )
    return upper


@_once
def path_pattern(text: str) -> str:
    if reason := paths.refusal(text):
        raise Refusal(f"path {shown(text)}: {reason}", 'write it decoded, like "/repos/*/issues" or "/v1/**"')
    if len(text) > _LONGEST_PATH:
        raise Refusal(f"path is longer than {_LONGEST_PATH} characters", 'shorten it with "*" or "/**"')
    return text


@_once
def header(text: str) -> str:
    lower = text.lower()
    if not _TOKEN.match(text):
        raise Refusal(f"header {shown(text)} is no header name", 'header = "authorization" or "x-api-key"')
    if lower in _FRAMING or lower.startswith(_FRAMING_PREFIXES):
        raise Refusal(f"header {shown(text)} must not be set by a route", 'header = "authorization" or "x-api-key"')
    return lower


@_once
def scheme(text: str) -> str:
    if text and not _TOKEN.match(text):
        raise Refusal(
            f"scheme {shown(text)} is no authorisation scheme", 'scheme = "Bearer", "token", or "" for the value alone'
        )
    return _not_secret(text, "scheme")


@_once
def token_ref(text: str) -> str:
    """The name of a secret on the host; what looks like the secret itself is refused without repeating it."""
    if kind := secret_shapes.literal_kind(text):
        raise Refusal(
            f"the name of a secret is wanted, and this looks like {kind}",
            "name it, for example GITHUB_TOKEN, and keep its value on the host; then revoke this one",
        )
    if not _TOKEN_REF.match(text):
        raise Refusal(
            f"{shown(text)} is no name for a secret", "name it like an environment variable, for example GITHUB_TOKEN"
        )
    return text


def env_name(text: str) -> str:
    if not _ENV_NAME.match(text):
        raise Refusal(
            f"{shown(text)} is no name for an environment variable",
            "letters, digits and '_', not starting with a digit",
        )
    if agent_env.owns(text):
        raise Refusal(
            f"env name {shown(text)} belongs to the bottle",
            "remove it: the bottle sets its proxy, trust, home and path itself",
        )
    return text


def env_value(text: str) -> str:
    if len(text) > secret_shapes.LONGEST:
        raise Refusal(
            f"env value is longer than {secret_shapes.LONGEST} characters", "put it into a file of the workspace"
        )
    return _not_secret(text, "env value")


def _not_secret(text: str, noun: str) -> str:
    if kind := secret_shapes.literal_kind(text):
        raise Refusal(
            f"{noun} looks like {kind}",
            'keep it on the host and let a route inject it: auth = { token_ref = "NAME" }; then revoke this one',
        )
    return text


def version(text: str) -> str:
    if not _VERSION.match(text):
        raise Refusal(f"version {shown(text)} is no version", 'version = "1.2.3"')
    return text


def model(text: str) -> str:
    if not _MODEL.match(text):
        raise Refusal(f"model {shown(text)} is no name of a model", 'model = "claude-sonnet-4-6" or "openai/gpt-5.5"')
    return _not_secret(text, "model")


def argument(text: str) -> str:
    return _not_secret(text, "command argument")


def relative_path(text: str, fix: str = 'write it relative to the workspace, like "src/generated"') -> str:
    """A path below the directory it starts from, without './' and doubled or trailing slashes."""
    decoded = _decoded(text)
    if not text.strip():
        raise Refusal("path is empty", 'write "." for the directory itself')
    if len(text) > _LONGEST_PATH:
        raise Refusal(f"path is longer than {_LONGEST_PATH} characters", fix)
    if "\\" in decoded:
        raise Refusal(f"path {shown(text)} has a backslash", fix)
    if decoded.startswith("/") or re.match(r"[A-Za-z]:", decoded):
        raise Refusal(f"path {shown(text)} is absolute", fix)
    if decoded.startswith("~"):
        raise Refusal(f"path {shown(text)} starts with '~'", fix)
    if ".." in decoded.split("/"):
        raise Refusal(f"path {shown(text)} leaves its directory ('..')", fix)
    return "/".join(part for part in text.split("/") if part not in ("", ".")) or "."


def rootfs_name(text: str) -> str:
    """A path below the project: it stands in bundles, so no host's own path can stand in its place."""
    fix = (
        'write it relative to the project, like "images/agent.tar"\n'
        'where it lies elsewhere on this host is for host.toml: [rootfs] "NAME" = "/…"'
    )
    if not text.strip():
        raise Refusal("path is empty", fix)
    name = relative_path(text, fix)
    if name == ".":
        raise Refusal("path is the project itself", fix)
    return name


def nar_hash(text: str) -> str:
    """The one spelling of a Nix archive hash; other spellings of the same are told it."""
    if nar.parse_sri(text):
        return text
    digest = nar.parse_other(text)
    fix = f'hash = "{nar.sri(digest)}"' if digest else "bottlegen hash --path PATH, which prints it"
    raise Refusal(f"hash {shown(text)} is no SHA-256 in the form 'sha256-…'", fix)


def _decoded(text: str) -> str:
    """Percent-decoding until nothing changes, so that no layer of it can hide a traversal."""
    for _ in range(8):
        if (once := unquote(text)) == text:
            return text
        text = once
    raise Refusal("path is percent-encoded many times over", "write it decoded")


def in_bytes(value: object, field: str, fix: str) -> object:
    """Bytes from '4GiB' or a number of bytes; other types are left to the type check."""
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if not match:
        raise Refusal(f"{field} {shown(value)} is no size", fix)
    return int(match[1]) * _UNITS[match[2]]


def body_size(value: object) -> object:
    """Bytes of a request or an answer that is held while it is scanned."""
    value = in_bytes(value, "size", '"32MiB", or a number of bytes')
    if isinstance(value, int) and not isinstance(value, bool) and not _BODY[0] <= value <= _BODY[1]:
        raise Refusal("the size is below 1MiB or above 1GiB: a body is held in memory while it is scanned", '"32MiB"')
    return value


def pattern_name(text: str) -> str:
    if not text or len(text) > 64 or not text.isprintable() or max(text) > _LAST_OF_JSON_IN_YAML:
        raise Refusal(f"{shown(text)} is no name for a pattern", 'name = "Internal ticket", at most 64 characters')
    return text


def regex(text: str) -> str:
    """A regular expression in what RE2 and Python have in common."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of set operations that may come: RE2 has none either
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as e:
        raise Refusal(f"regex {shown(text)} is no regular expression: {e}", r'regex = "TICKET-[0-9]{6}"') from e
    if not text or len(text) > _LONGEST_PATH or max(text) > _LAST_OF_JSON_IN_YAML or not _is_re2(text):
        raise Refusal(
            f"regex {shown(text)} is empty, too long, or has what RE2 has not: looking around or back, "
            "other escapes and flags, more than 1000 repeats",
            r'regex = "TICKET-[0-9]{6}"',
        )
    return text


def _is_re2(text: str) -> bool:
    """Of what Python compiles (https://pkg.go.dev/regexp/syntax): escapes first, since they hide all else."""
    plain = _RE2_ESCAPE.sub(lambda found: "\0" if found[0] in (r"\b", r"\B", r"\A") else "_", text)
    classes = _CLASS.findall(plain)
    plain = _CLASS.sub("_", plain)
    if ("\\" in text and "\\" in plain + "".join(classes)) or any("\0" in each or "[:" in each for each in classes):
        return False
    return not _NOT_RE2.search(plain) and _repeats(plain) <= _MOST_REPEATS


def _repeats(plain: str) -> int:
    """The largest product of counts within counts."""
    stack = [1]
    for found in _COUNT.finditer(plain):
        if found[0] == "(":
            stack.append(1)
            continue
        count = int(found[2] or found[1] or 1)
        stack[-1] = max(stack[-1], count * stack.pop() if found[0][0] == ")" else count)
    return max(stack)


def memory(value: object) -> object:
    """Bytes of the agent's memory."""
    value = in_bytes(value, "memory", 'memory = "4GiB", "512MiB", or a number of bytes')
    if isinstance(value, int) and not isinstance(value, bool) and not _MEMORY[0] <= value <= _MEMORY[1]:
        raise Refusal("memory is below 64MiB or above 1024TiB", 'memory = "4GiB"')
    return value


def cpus(value: float) -> float:
    if not math.isfinite(value) or not 0.1 <= value <= 1024 or round(value, 3) != value:
        raise Refusal("cpus is not between 0.1 and 1024 in thousandths", "cpus = 2")
    return value

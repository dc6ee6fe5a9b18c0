"""Requests in words: one sentence says who now reaches what, in the terms of a profile and without its order."""

from collections.abc import Sequence

from bottlegen.authority import Credential
from bottlegen.path_sets import EVERYTHING
from bottlegen.paths import PathPattern
from bottlegen.reach import OTHER, Gain

_SHOWN_PATHS = 6


def gained(gain: Gain) -> str:
    """What widens, as a sentence."""
    where = host_name(gain.host, gain.port)
    if gain.ambiguous:
        what = f"paths of {where} are no longer judged, so ambiguous spellings pass"
        return what + (f" with {credential_name(gain.credential)}" if gain.credential else "") + _by(gain)
    before = f", before only {_paths(gain.kept)}" if gain.kept else ""
    example = f" (for example {gain.example})" if gain.example and not gain.kept else ""
    if gain.credential:
        return f"{credential_name(gain.credential)} now also reaches {_requests(gain)}{before}{example}"
    return f"{_requests(gain)} is allowed now{before}{example}"


def lost(gain: Gain) -> str:
    """What narrows, as a sentence; `gain` is read backwards."""
    where = host_name(gain.host, gain.port)
    if gain.ambiguous:
        return f"paths of {where} are judged now, so ambiguous spellings are refused{_by(gain)}"
    left = f", only {_paths(gain.kept)} of it" if gain.kept else ""
    example = f" (for example {gain.example})" if gain.example and not gain.kept else ""
    if gain.credential:
        return f"{credential_name(gain.credential)} no longer reaches {_requests(gain)}{left}{example}"
    return f"{_requests(gain)} is no longer allowed{left}{example}"


def host_name(host: str, port: int) -> str:
    return host if port == 443 else f"{host}:{port}"


def credential_name(credential: Credential) -> str:
    """The secret's name, and how it is sent where that is not the usual way."""
    if (credential.header, credential.scheme) == ("authorization", "Bearer"):
        return credential.token_ref
    return f"{credential.token_ref} as '{credential.header}: {credential.scheme + ' ' if credential.scheme else ''}…'"


def method_words(methods: frozenset[str], named: frozenset[str]) -> str:
    """`named` are the methods that are spoken of elsewhere: OTHER means all but these."""
    if OTHER not in methods:
        return ", ".join(sorted(methods))
    missing = sorted(named - methods)
    return f"any method but {', '.join(missing)}" if missing else "any method"


def _by(gain: Gain) -> str:
    return f" by {method_words(gain.methods, gain.named)}"


def _requests(gain: Gain) -> str:
    methods, where = method_words(gain.methods, gain.named), f"{host_name(gain.host, gain.port)}{_paths(gain.paths)}"
    return f"{where} by {methods}" if OTHER in gain.methods else f"{methods} {where}"


def _paths(paths: Sequence[PathPattern]) -> str:
    texts = ["/**" if path == EVERYTHING else str(path) for path in paths]
    more = len(texts) - _SHOWN_PATHS
    return ", ".join(texts[:_SHOWN_PATHS]) + (f" and {more} more" if more > 0 else "")

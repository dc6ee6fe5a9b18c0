"""What an image registry has under a tag: the digest, computed here from the manifest's bytes (OCI distribution)."""

import hashlib
import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from bottlegen.errors import LockError
from runtime.https import TIMEOUT
from runtime.image_reference import ImageReference

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_MAX_BYTES = 4 * 1024 * 1024
"""What registries accept at most for a manifest."""

_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def digest(session: requests.Session, reference: str, platforms: tuple[str, ...]) -> str:
    """`sha256:…` of what `reference` names now; LockError when it is not there, or not for all of `platforms`.

    A registry on this host is asked without TLS, as docker does; one that wants a login is asked as anybody.
    """
    asked = ImageReference.parse(reference)
    plain = _is_loopback(asked.registry)
    base = f"{'http' if plain else 'https'}://{asked.registry}/v2/{asked.repository}"
    answer = _get(session, f"{base}/manifests/{asked.tag or 'latest'}", plain=plain)
    if answer.status_code == requests.codes.not_found:
        raise LockError(
            f"registry '{asked.registry}' has no image '{asked.repository}:{asked.tag or 'latest'}'",
            fix="is [images] mirror in host.toml the right registry?",
        )
    answer.raise_for_status()
    return _checked(answer, reference, platforms)


def _is_loopback(registry: str) -> bool:
    host = urlsplit(f"//{registry}").hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _get(session: requests.Session, url: str, *, plain: bool) -> requests.Response:
    headers = {"Accept": ", ".join((*_INDEXES, *_MANIFESTS))}
    answer = session.get(url, headers=headers, timeout=TIMEOUT)
    if answer.status_code != requests.codes.unauthorized:
        return answer
    kind, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
    challenge = dict(_CHALLENGE.findall(rest))
    realm = challenge.pop("realm", "")
    if kind.lower() != "bearer" or not realm.startswith("https://" if not plain else ("https://", "http://")):
        return answer
    # https://distribution.github.io/distribution/spec/auth/token/: without a login, for what anybody may pull.
    granted = session.get(realm, params=challenge, timeout=TIMEOUT)
    granted.raise_for_status()
    token = _json(granted).get("token") or _json(granted).get("access_token")
    return session.get(url, headers={**headers, "Authorization": f"Bearer {token}"}, timeout=TIMEOUT)


def _checked(answer: requests.Response, reference: str, platforms: tuple[str, ...]) -> str:
    body = answer.content
    found = f"sha256:{hashlib.sha256(body).hexdigest()}"
    told = answer.headers.get("Docker-Content-Digest", found)
    document = _json(answer) if len(body) <= _MAX_BYTES else {}
    if told != found or not isinstance(document.get("schemaVersion"), int):
        raise LockError(
            f"the registry's answer for '{reference}' is not a manifest, or not the one that it says",
            fix="try again; if it stays, something between here and the registry changes what it says",
        )
    if listed := set(_platforms(document)):
        lacking = [platform for platform in platforms if platform not in listed]
        if lacking:
            raise LockError(
                f"'{reference}' is not there for {', '.join(lacking)}", fix="ask a registry that has all platforms"
            )
    return found


def _platforms(document: dict[str, object]) -> Iterator[str]:
    """The platforms of an index; none for a manifest of one image."""
    entries = document.get("manifests")
    for entry in entries if isinstance(entries, list) else ():
        platform = entry.get("platform") if isinstance(entry, dict) else None
        if isinstance(platform, dict):
            yield f"{platform.get('os')}/{platform.get('architecture')}"


def _json(answer: requests.Response) -> dict[str, object]:
    try:
        document = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}

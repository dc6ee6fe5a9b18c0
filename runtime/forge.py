"""The pull or merge request that a CI job is about: its base, its labels, and one comment on it that is kept current.

Everything comes as data from the forge's own variables and files: no text of a request meets a shell.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bottlegen.errors import HostError
from bottlegen.wording import seen

MARK = "<!-- bottlegen review -->"
"""First line of the comment, by which the next run finds it."""

GITHUB_TOKEN, GITLAB_TOKEN = "GITHUB_TOKEN", "BOTTLEGEN_GITLAB_TOKEN"
_SECONDS = 30
_PAGES = 20
_MAX_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """One pull request (GitHub) or merge request (GitLab); `base` is the commit that it changes."""

    forge: Literal["github", "gitlab"]
    base: str
    labels: frozenset[str]
    comments: str
    update: str
    token: str

    def post(self, text: str) -> None:
        """Put `text` into our comment, made if there is none; HostError when the forge refuses."""
        if not self.token:
            name = GITHUB_TOKEN if self.forge == "github" else GITLAB_TOKEN
            raise HostError(
                f"no token to comment with: {name} is not set", fix=f"give the job {name}, or leave out --post"
            )
        body = {"body": f"{MARK}\n{text}"}
        ours = self._ours()
        if ours is None:
            self._ask("POST", self.comments, body)
        else:
            self._ask("PATCH" if self.forge == "github" else "PUT", f"{self.update}/{ours}", body)

    def _ours(self) -> int | None:
        """The comment to renew: it begins with our mark, and is a robot's (GitHub) or by this token's user (GitLab)."""
        me = None if self.forge == "github" else self._ask("GET", f"{_origin(self.comments)}/user").get("id")
        for page in range(1, _PAGES + 1):
            found = self._ask("GET", f"{self.comments}?per_page=100&page={page}")
            for comment in found:
                if self._is_mine(comment, me) and str(comment.get("body", "")).startswith(MARK):
                    return int(comment["id"])
            if len(found) < 100:
                break
        return None

    def _is_mine(self, comment: Mapping[str, Any], me: object) -> bool:
        if self.forge == "github":
            return (comment.get("user") or {}).get("type") == "Bot"
        return (comment.get("author") or {}).get("id") == me

    def _ask(self, method: str, url: str, body: Mapping[str, str] | None = None) -> Any:
        headers = {"Content-Type": "application/json", "User-Agent": "bottlegen"}
        if self.forge == "github":
            headers |= {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"}
        else:
            headers |= {"PRIVATE-TOKEN": self.token}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310 - see _api
        try:
            with _OPENER.open(request, timeout=_SECONDS) as answer:
                return json.loads(answer.read(_MAX_ANSWER))
        except urllib.error.HTTPError as e:
            raise HostError(
                f"{method} {url} is answered with {e.code}",
                fix="give the job's token the right to comment, or leave out --post",
            ) from e
        except (OSError, ValueError) as e:
            raise HostError(f"{method} {url} failed: {seen(str(e))}", fix="try the job again") from e


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes where it was meant to go."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def change_request(env: Mapping[str, str]) -> ChangeRequest | None:
    """What the variables of a CI job say of its request; None outside of one. HostError when they make no sense."""
    if env.get("GITHUB_EVENT_PATH"):
        return _github(env)
    return _gitlab(env) if env.get("CI_MERGE_REQUEST_IID") else None


def _github(env: Mapping[str, str]) -> ChangeRequest | None:
    path = env["GITHUB_EVENT_PATH"]
    try:
        pull = json.loads(Path(path).read_bytes()).get("pull_request")
        if pull is None:
            return None
        number, base = int(pull["number"]), str(pull["base"]["sha"])
        labels = frozenset(str(label["name"]) for label in pull.get("labels", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise HostError(f"cannot make sense of the event in '{path}'", fix="run on: pull_request") from e
    issues = f"{_api(env, 'GITHUB_API_URL')}/repos/{_quoted(env.get('GITHUB_REPOSITORY', ''), '/')}/issues"
    return ChangeRequest(
        forge="github", base=base, labels=labels, comments=f"{issues}/{number}/comments",
        update=f"{issues}/comments", token=env.get(GITHUB_TOKEN, ""),
    )  # fmt: skip


def _gitlab(env: Mapping[str, str]) -> ChangeRequest:
    project = _quoted(env.get("CI_MERGE_REQUEST_PROJECT_ID", ""))
    notes = (
        f"{_api(env, 'CI_API_V4_URL')}/projects/{project}/merge_requests/{_quoted(env['CI_MERGE_REQUEST_IID'])}/notes"
    )
    return ChangeRequest(
        forge="gitlab", base=env.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""),
        labels=frozenset(filter(None, env.get("CI_MERGE_REQUEST_LABELS", "").split(","))),
        comments=notes, update=notes, token=env.get(GITLAB_TOKEN, ""),
    )  # fmt: skip


def _api(env: Mapping[str, str], name: str) -> str:
    """Where the forge's API is: over TLS, except on this machine."""
    url = env.get(name, "https://api.github.com" if name.startswith("GITHUB") else "")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        raise HostError(f"${name} is no https URL", fix="let the CI set it")
    return url.rstrip("/")


def _origin(url: str) -> str:
    """The API's own address, of one below it."""
    return url.partition("/projects/")[0]


def _quoted(text: str, safe: str = "") -> str:
    return urllib.parse.quote(text, safe=safe)

"""The one place where token names become values; they stay in this process and in the memory of a sidecar."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bottlegen.errors import HostError, Problem, SecretError
from bottlegen.secret import Secret
from runtime.host import SecretSource
from runtime.regular import read_regular

_COMMAND_SECONDS = 60
_MAX_SECRET = 64 * 1024


def resolve(
    tokens: Mapping[str, str], values: Mapping[str, Secret], *, headerless: frozenset[str] = frozenset()
) -> dict[str, Secret]:
    """Slot to value, for `tokens` (slot to token_ref); SecretError lists every unset, empty or unusable one at once.

    Knows no provider and no special name: who provisions a value puts it into `values` beforehand. What goes only into
    slots that are `headerless`, such as a private key, may have several lines.
    """
    in_headers = {ref for slot, ref in tokens.items() if slot not in headerless}
    problems = [
        problem
        for ref in sorted(set(tokens.values()))
        if (problem := _problem(ref, values.get(ref), lines=ref not in in_headers))
    ]
    if problems:
        raise SecretError(problems)
    return {slot: values[ref] for slot, ref in tokens.items()}


def _problem(ref: str, value: Secret | None, *, lines: bool) -> Problem | None:
    if value is None:
        return Problem(what=f"secret '{ref}' is not set on this host", fix=set_fix(ref))
    text = value.reveal()
    if not text.strip():
        return Problem(what=f"secret '{ref}' is set but empty", fix=set_fix(ref))
    allowed = "\r\n" if lines else ""
    if any(_unsendable(c) and c not in allowed for c in text):
        return Problem(
            what=f"secret '{ref}' holds a line break, another control character or no text, which no header can carry",
            fix=f"store '{ref}' as one line",
        )
    return None


def _unsendable(character: str) -> bool:
    """A control character, or half of one: what was no UTF-8 in the environment or in a login file comes as such."""
    code = ord(character)
    return code < 0x20 or code == 0x7F or 0xD800 <= code < 0xE000


def set_fix(ref: str) -> str:
    """What to type so that the secret is there."""
    return (
        f"export {ref}=…\n"
        f'or in host.toml: [secrets] {ref} = {{ command = ["…"] }}\n'
        "or remove what asks for it from the profile"
    )


def effective_values(
    refs: frozenset[str],
    *,
    env: Mapping[str, str],
    sources: Mapping[str, SecretSource],
    provisioned: Mapping[str, Secret],
) -> tuple[dict[str, Secret], dict[str, Problem]]:
    """Values of `refs` by rising precedence: the host's environment, host.toml's sources, what a provider provisioned.

    Only the named refs are read or run. The second part has a problem for each ref whose source failed; no value
    stands in it.
    """
    found = {ref: Secret(env[ref]) for ref in refs if ref in env}
    failed: dict[str, Problem] = {}
    for ref in sorted(refs & sources.keys() - provisioned.keys()):
        found.pop(ref, None)  # a named source is the only one: the variable must not stand in for it silently
        value = _read(sources[ref], env)
        if isinstance(value, Problem):
            failed[ref] = Problem(what=f"secret '{ref}': {value.what}", fix=value.fix)
        elif value is not None:
            found[ref] = value
    return {**found, **{ref: value for ref, value in provisioned.items() if ref in refs}}, failed


def _read(source: SecretSource, env: Mapping[str, str]) -> Secret | Problem | None:
    if source.env is not None:
        return Secret(env[source.env]) if source.env in env else None
    if source.file is not None:
        return _from_file(Path(source.file))
    if source.keyring is not None:
        return _from_keyring(source.keyring)
    return _from_command(source.command or (), env)


def _from_file(path: Path) -> Secret | Problem:
    try:
        data = read_regular(path.expanduser(), _MAX_SECRET)
        if len(data) > _MAX_SECRET:
            return Problem(
                what=f"file '{path}' is larger than a secret",
                fix="name the file that holds the value alone",
            )
        return Secret(data.decode("utf-8").rstrip("\r\n"))
    except OSError as e:
        return Problem(
            what=f"cannot read '{path}': {e.strerror}",
            fix=f"check host.toml and: ls -l '{path}'",
        )
    except RuntimeError:  # of expanduser(): nobody is called that
        return Problem(what=f"'{path}' names no user of this host", fix="check [secrets] in host.toml")
    except UnicodeDecodeError:
        return Problem(
            what=f"file '{path}' is not UTF-8 text",
            fix="name the file that holds the value alone",
        )


def _from_keyring(entry: str) -> Secret | Problem | None:
    service, _, user = entry.partition("/")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return Problem(
            what="the keyring package is not installed",
            fix="pip install 'bottlegen[keyring]'",
        )
    try:
        value = keyring.get_password(service, user)
    except KeyringError:
        return Problem(
            what=f"the keyring would not give '{entry}'",
            fix=f"keyring get {service} {user}",
        )
    return Secret(value) if value is not None else None


def _from_command(command: tuple[str, ...], env: Mapping[str, str]) -> Secret | Problem:
    """What the command prints. Its own messages go to the terminal and are kept nowhere."""
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            return Problem(
                what=f"'{shown}' ended with status {done.returncode}",
                fix=f"run it yourself: {shown}",
            )
        return Secret(done.stdout.decode("utf-8").rstrip("\r\n"))
    except subprocess.TimeoutExpired:
        return Problem(
            what=f"'{shown}' took over {_COMMAND_SECONDS} s",
            fix=f"run it yourself: {shown}",
        )
    except OSError as e:
        return Problem(
            what=f"cannot run '{shown}': {os.strerror(e.errno or 0)}",
            fix="check [secrets] in host.toml",
        )
    except UnicodeDecodeError:
        return Problem(what=f"'{shown}' did not print UTF-8 text", fix=f"run it yourself: {shown}")


def read_tokens(data: bytes) -> dict[str, str]:
    """The bundle's tokens.json: slot to token_ref. HostError when it is not that."""
    import json

    try:
        tokens = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise HostError("tokens.json of the bundle is not JSON", fix="bottlegen build") from e
    if not isinstance(tokens, dict) or not all(isinstance(v, str) for v in tokens.values()):
        raise HostError(
            "tokens.json of the bundle does not map slots to names",
            fix="bottlegen build",
        )
    return tokens

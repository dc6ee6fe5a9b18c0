"""What a credential looks like: a text that does is never accepted as a literal, nor shown in a message."""

import re
from itertools import pairwise

# Compiled when first needed, which in a sound profile is never.
_SHAPES = (
    ("a private key or certificate", r"-----BEGIN "),
    ("a GitHub token", r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{10,}|github_pat_[A-Za-z0-9_]{10,})"),
    ("a GitLab token", r"(?<![A-Za-z0-9])gl(?:pat|dt|rt|cbt|ptt|ft|agent)-[\w-]{10,}"),
    ("an Anthropic token", r"(?<![A-Za-z0-9])sk-ant-[\w-]{4,}"),
    (
        "an API key",
        r"(?<![A-Za-z0-9])(?:sk-(?:proj|svcacct|or)-[\w-]{4,}|sk-[A-Za-z0-9]{16,}|sk-(?=[\w-]{0,99}\d)[\w-]{16,})",
    ),
    ("a payment API key", r"(?<![A-Za-z0-9])[rs]k_(?:live|test)_[A-Za-z0-9]{10,}"),
    ("a Slack token", r"(?<![A-Za-z0-9])(?:xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,})"),
    ("an AWS access key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}"),
    ("a Google API key", r"(?<![A-Za-z0-9])(?:AIza[\w-]{20,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{10,})"),
    ("an npm token", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{20,}"),
    ("a PyPI token", r"(?<![A-Za-z0-9])pypi-[\w-]{20,}"),
    ("a Hugging Face token", r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}"),
    ("an age key", r"AGE-SECRET-KEY-1"),
    ("a JSON web token", r"(?<![A-Za-z0-9])eyJ[\w-]{8,512}\.[\w-]{4,}"),
    ("a URL with a password", r"://[^/\s:@]*:[^/\s@]+@"),
    ("an Authorization header", r"(?i)\b(?:bearer|basic)\s+[\w.~+/-]{16,}"),
)
# One search that most texts fail, before the many.
_HINT = re.compile(
    r"-----|gh[pousr]_|github_pat|gl[a-z]+-|[sr]k[-_]|xox|xapp|A[KS]IA|AIza|ya29|GOCSPX|npm_|pypi-|hf_|AGE-SECRET|eyJ|://"
    r"|(?i:bearer|basic)"
)
_RUN = re.compile(r"[A-Za-z0-9+/_-]{24,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_DIGEST = re.compile(r"\bsha(?:256|384|512)[:-][A-Za-z0-9+/=]+")
LONGEST = 8192
"""Characters that are looked at; a longer value is for others to refuse."""


def kind(text: str) -> str:
    """What credential `text` holds, by its known shape, or an empty string. Reads the first `LONGEST` characters."""
    text = text[:LONGEST]
    if not _HINT.search(text):
        return ""
    return next((name for name, shape in _SHAPES if re.search(shape, text)), "")


def literal_kind(text: str) -> str:
    """As `kind`, and for places where nothing random belongs also a long run that looks random."""
    return kind(text) or ("a long random text" if _random_run(text[:LONGEST]) else "")


def _random_run(text: str) -> bool:
    if len(text) < 24 or _UUID.match(text):
        return False
    return any(_is_random(run) for run in _RUN.findall(_DIGEST.sub("", text)))


def _is_random(run: str) -> bool:
    """Words keep to one class of characters for long; random text changes between lower, upper and digit all the time.

    Random hex changes at 0.47 of its steps, base 62 at 0.62; dashed names and CamelCase stay under 0.3.
    """
    classes = [_character_class(character) for character in run if character.isalnum()]
    digits = classes.count("digit")
    if len(set(run)) < 10 or digits < 3 or digits == len(classes):
        return False
    changes = sum(a != b for a, b in pairwise(classes))
    return changes >= 0.3 * (len(classes) - 1)


def _character_class(character: str) -> str:
    if character.isdigit():
        return "digit"
    return "upper" if character.isupper() else "lower"

"""Credentials as they stand in committed files, for the gate's scan: whole ones alone, since a false alarm stops work.

Narrower than bottlegen/secret_shapes.py, which judges single values and may err on the safe side. Each has a literal
that every match holds, so that most bytes are passed over by a plain search.
"""

from typing import Final

_START = r"(?<![A-Za-z0-9_-])"

SHAPES: Final = (
    ("a private key", "PRIVATE KEY-----", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----\s*[A-Za-z0-9+/=\s:,.-]{64}"),
    ("an age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    ("a GitHub token", "ghp_", _START + r"ghp_[A-Za-z0-9]{36,}"),
    ("a GitHub token", "gho_", _START + r"gho_[A-Za-z0-9]{36,}"),
    ("a GitHub token", "ghu_", _START + r"ghu_[A-Za-z0-9]{36,}"),
    ("a GitHub token", "ghs_", _START + r"ghs_[A-Za-z0-9]{36,}"),
    ("a GitHub token", "ghr_", _START + r"ghr_[A-Za-z0-9]{36,}"),
    ("a GitHub token", "github_pat_", _START + r"github_pat_[A-Za-z0-9_]{60,}"),
    ("a GitLab token", "glpat-", _START + r"glpat-[\w-]{20,}"),
    ("a GitLab token", "gldt-", _START + r"gldt-[\w-]{20,}"),
    ("a GitLab token", "glrt-", _START + r"glrt-[\w-]{20,}"),
    ("an Anthropic token", "sk-ant-", _START + r"sk-ant-[a-z]{3,6}[0-9]{2}-[\w-]{40,}"),
    ("an OpenAI key", "T3BlbkFJ", _START + r"sk-[\w-]{16,160}T3BlbkFJ[\w-]{16,160}"),
    ("a payment API key", "k_live_", _START + r"[rs]k_live_[A-Za-z0-9]{20,}"),
    ("a Slack token", "xox", _START + r"xox[abeoprs]-[A-Za-z0-9-]{20,}"),
    ("a Slack token", "xapp-", _START + r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]{20,}"),
    ("an AWS access key", "AKIA", _START + r"AKIA(?![A-Z0-9]{9}EXAMPLE)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    ("an AWS access key", "ASIA", _START + r"ASIA(?![A-Z0-9]{9}EXAMPLE)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    ("a Google API key", "AIza", _START + r"AIza[\w-]{35}(?![\w-])"),
    ("a Google secret", "GOCSPX-", _START + r"GOCSPX-[\w-]{28}"),
    ("an npm token", "npm_", _START + r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    ("a PyPI token", "pypi-AgE", _START + r"pypi-AgE[\w-]{60,}"),
    ("a Hugging Face token", "hf_", _START + r"hf_[A-Za-z0-9]{34}(?![A-Za-z0-9])"),
)
"""What it is, the literal that leads to it, and the expression that decides, for bytes."""

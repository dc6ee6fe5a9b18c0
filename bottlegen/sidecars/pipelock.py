"""pipelock's config: what it may reach and what it passes unread come from routes and git remotes alone, all is said.

For pipelock 2.3.0, whose parser refuses unknown keys and fills in what is missing by rules of its own: so every switch
is written out. Keys, defaults and effects: pipelock's docs/configuration.md and internal/config of that version.
"""

import json
from collections.abc import Sequence

from bottlegen.git_fields import parse_url
from bottlegen.pins import Pins
from bottlegen.plan import GitRemote, Image, Listening, RenderedFile, Resources, SidecarPlan
from bottlegen.profile import Inspection, Profile
from bottlegen.render import canonical_json
from bottlegen.routes import RouteSet
from bottlegen.sidecars.addresses import REFUSED
from bottlegen.sidecars.envoy_types import Json
from bottlegen.sidecars.material import PIPELOCK_PORT as PORT

NAME = "pipelock"
BASE = "/run/pipelock"
CONFIG = f"{BASE}/pipelock.json"
CA, CA_KEY = f"{BASE}/ca.pem", f"{BASE}/ca-key.pem"
SECRETS = f"{BASE}/secrets.txt"
UPSTREAM_CA = f"{BASE}/upstream-ca.pem"
EVENTS = "/tmp/events.jsonl"  # noqa: S108 - in the sidecar
"""In memory: what it says of a refused request can hold the secret for which it was refused."""

FILE = "sidecars/pipelock/pipelock.json"

_MIB = 1024 * 1024
_TMPFS_BYTES = 16 * _MIB
_MEMORY_BYTES = 1024 * _MIB
"""Whole bodies are held while they are scanned."""

_DAY, _HOUR = 86400, 3600
_STRUCTURAL = ("Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Host", "Content-Length")
_OF_PROFILE = " (profile)"
MODES = ("strict", "balanced", "audit")
ACTIONS = ("block", "warn")
"""Both in the order in which more gets out."""

_PASTE_BINS = ("*.pastebin.com", "*.hastebin.com", "*.paste.ee", "*.transfer.sh", "*.file.io", "*.requestbin.com")


def prepare(profile: Profile, routes: RouteSet, pins: Pins) -> SidecarPlan | None:
    """The last hop of a bottle whose profile wants its traffic inspected."""
    if profile.inspection is None:
        return None
    return SidecarPlan(
        name=NAME,
        image=Image(context="images/pipelock", base=pins.base, artifacts=pins.artifacts("pipelock")),
        command=("pipelock", "run", "--config", CONFIG),
        files=(RenderedFile(path=FILE, data=render(profile.name, profile.inspection, routes, profile.remotes)),),
        networks=("chain", "outside"),
        listening=Listening(ports=(PORT,), config=CONFIG, trust=UPSTREAM_CA, tcp_only=True),
        tmpfs=((BASE, _TMPFS_BYTES), ("/tmp", _TMPFS_BYTES)),  # noqa: S108 - in the sidecar
        resources=Resources(cpus=2, memory=_MEMORY_BYTES, pids=64),
        env=(("HOME", "/tmp"), ("PIPELOCK_HOME", "/tmp/pipelock"), ("SSL_CERT_FILE", UPSTREAM_CA)),  # noqa: S108
    )


def injected_headers(routes: RouteSet) -> tuple[str, ...]:
    """Headers that carry a credential of ours to a host that is inspected: pipelock must not take them for a leak."""
    used = {rule.slot for rules in routes.hosts if not rules.tls_passthrough for rule in rules.rules if rule.slot}
    used |= {route.slot for route in routes.tokens if not route.tls_passthrough}
    return tuple(sorted({routes.slot(name).header.lower() for name in used}))


def render(profile_name: str, inspection: Inspection, routes: RouteSet, remotes: Sequence[GitRemote] = ()) -> bytes:
    """The complete config, as JSON, which is YAML. Its address and the names that the host fixes join at a start.

    Hosts of git remotes pass unread: the gate reads what is pushed, and compressed packs are nothing for a scanner.
    """
    git = {parse_url(remote.url).host for remote in remotes}
    return canonical_json(
        {
            "version": 1,
            "mode": inspection.mode,
            "enforce": inspection.mode != "audit",
            "explain_blocks": True,
            "default_agent_identity": profile_name,
            "bind_default_agent_identity": True,
            **_destinations(routes, git),
            "fetch_proxy": _listener(inspection),
            "forward_proxy": {
                "enabled": True,
                "max_tunnel_seconds": _DAY,
                "idle_timeout_seconds": _HOUR,
                "sni_verification": True,
            },
            "tls_interception": _interception(inspection, routes, git),
            "request_body_scanning": _requests(inspection, routes),
            "dlp": {
                "scan_env": False,  # its own environment
                "secrets_file": SECRETS,
                "min_env_secret_length": 16,
                "include_defaults": True,
                "patterns": _patterns(inspection),
            },
            **_responses(),
            **_switched_off(),
        }
    )


def _patterns(inspection: Inspection) -> list[Json]:
    """Under names that its own patterns have not: one of the same name would take the place of its own."""
    return [
        {"name": f"{name}{_OF_PROFILE}", "regex": regex, "severity": "critical"} for name, regex in inspection.patterns
    ]


def _hosts(routes: RouteSet, git: set[str], *, passed: bool | None = None) -> list[str]:
    return sorted(git | {host for host, _, passes in routes.destinations if passed is None or passes == passed})


def _destinations(routes: RouteSet, git: set[str]) -> Json:
    """The same hosts as egress and git gate allow; `*.suffix` covers the suffix itself here; egress refuses that."""
    return {
        "api_allowlist": _hosts(routes, git) or ["nothing.invalid"],  # an empty list is an error of its parser
        "internal": [f"{address}/{bits}" for address, bits in REFUSED],
        "trusted_domains": [],
        "ssrf": {"ip_allowlist": []},
    }


def _listener(inspection: Inspection) -> Json:
    return {
        "listen": f"127.0.0.1:{PORT}",
        "timeout_seconds": 60,
        "max_response_mb": inspection.max_response // _MIB,
        "user_agent": "bottlegen",
        "monitoring": {
            "max_url_length": 8192,
            # Its 4.5 takes commit hashes, cursors and package digests for secrets.
            "entropy_threshold": 5.5,
            "subdomain_entropy_threshold": 4.5,
            "max_requests_per_minute": inspection.requests_per_minute,
            "max_data_per_minute": 0,
            "blocklist": list(_PASTE_BINS),
            "subdomain_entropy_exclusions": [],
        },
    }


def _interception(inspection: Inspection, routes: RouteSet, git: set[str]) -> Json:
    return {
        "enabled": True,
        "ca_cert": CA,
        "ca_key": CA_KEY,
        "passthrough_domains": _hosts(routes, git, passed=True),
        "cert_ttl": "24h",
        "cert_cache_size": 1000,
        "max_response_bytes": inspection.max_response,
    }


def _requests(inspection: Inspection, routes: RouteSet) -> Json:
    """Every header is read but those of the framing and those that egress itself fills in, which it overwrites."""
    return {
        "enabled": True,
        "action": inspection.action,
        "max_body_bytes": inspection.max_body,
        "scan_headers": True,
        "header_mode": "all",
        "ignore_headers": [*_STRUCTURAL, *injected_headers(routes)],
    }


def _responses() -> Json:
    """What comes in is looked at and logged: to cut an answer that reads like an instruction would stop honest work."""
    return {
        "response_scanning": {
            "enabled": True,
            "action": "warn",
            "include_defaults": True,
            "exempt_domains": [],
            "sse_streaming": {"enabled": True, "action": "warn", "max_event_bytes": _MIB},
        },
        "media_policy": {"enabled": False},
    }


def _switched_off() -> Json:
    """What keeps state of a session, where one false finding would bring the next request down, and what calls home."""
    off = {"enabled": False}
    return {
        "seed_phrase_detection": {"enabled": True, "min_words": 12, "verify_checksum": True},
        "cross_request_detection": off,
        "session_profiling": off,
        "adaptive_enforcement": off,
        "airlock": off,
        "taint": off,
        "browser_shield": off,
        "websocket_proxy": off,
        "suppress": [],
        # On the proxy's own port, which only egress reaches, and only with CONNECT: a port of its own would be one for
        # all bottles of a host whose sidecars share its network.
        "metrics_listen": "",
        "kill_switch": off,
        # The sidecar's output ends in files of the host, and egress tells of every request already.
        "logging": {
            "format": "json",
            "output": "file",
            "file": EVENTS,
            "include_allowed": False,
            "include_blocked": True,
        },
        "sentry": off,
        "flight_recorder": {"enabled": False, "redact": True, "sign_checkpoints": False},
        "git_protection": {"enabled": False, "pre_push_scan": False},
        "a2a_scanning": {
            "enabled": False,
            "scan_agent_cards": False,
            "detect_card_drift": False,
            "session_smuggling_detection": False,
            "scan_raw_parts": False,
        },
        "scan_api": {"kinds": {"url": False, "dlp": False, "prompt_injection": False, "tool_call": False}},
    }


def settings(config: bytes) -> Inspection:
    """What the profile set, read back from a config; KeyError, ValueError or TypeError when it is not one of ours."""
    tree = json.loads(config)
    requests = tree["request_body_scanning"]
    if tree["mode"] not in MODES or requests["action"] not in ACTIONS:
        raise ValueError("not a mode or an action")
    return Inspection(
        mode=tree["mode"],
        action=requests["action"],
        patterns=tuple((each["name"].removesuffix(_OF_PROFILE), each["regex"]) for each in tree["dlp"]["patterns"]),
        max_body=requests["max_body_bytes"],
        max_response=tree["tls_interception"]["max_response_bytes"],
        requests_per_minute=tree["fetch_proxy"]["monitoring"]["max_requests_per_minute"],
    )


def enforces(profile_name: str, config: bytes, routes: RouteSet, remotes: Sequence[GitRemote] = ()) -> bool:
    """Whether a bundle's config is what is made of these routes and remotes, and only what `settings` tells differs."""
    try:
        return render(profile_name, settings(config), routes, remotes) == config
    except (KeyError, ValueError, TypeError, AttributeError):
        return False

"""What the sidecar itself says to the agent: a refusal names the profile and the lines that would allow the request."""

from functools import cache

from bottlegen.render import Fixed
from bottlegen.routes import HostRules
from bottlegen.sidecars.envoy_types import Json, literal, text_format

ASKED_HOST = "%DYNAMIC_METADATA(egress:host)%"
ASKED_PORT = "%DYNAMIC_METADATA(egress:port)%"

AMBIGUOUS_PATH = (
    "bottlegen: malformed request, or a path that servers read differently (an encoded slash or dot, '..;', a NUL), "
    "which routes with paths cannot judge\n"
)

ECHO_METHOD = "bottlegen: TRACE never leaves the bottle: its answer would repeat the headers that are added here\n"


def unknown_host(profile: str, *, with_port: bool) -> str:
    """For a tunnel to a host, or a port of it, that no route names."""
    port = f"port = {ASKED_PORT}\n" if with_port else ""
    return (
        f'bottlegen: the profile "{literal(profile)}" has no route to %REQ(:AUTHORITY)%\n'
        "to allow it, add these lines to the profile and start the bottle again:\n\n"
        f'[[egress.routes]]\nhost = "{ASKED_HOST}"\n{port}'
    )


def plain_http(profile: str) -> str:
    """For a request that is not in a tunnel: nothing leaves unencrypted."""
    return (
        f"bottlegen: plain HTTP does not leave the bottle; use https://{ASKED_HOST}\n"
        f'if the profile "{literal(profile)}" has no route to it yet, add these lines and start the bottle again:\n\n'
        f'[[egress.routes]]\nhost = "{ASKED_HOST}"\n'
    )


def unknown_request(profile: str, rules: HostRules) -> str:
    """For a method or path that no rule of the host covers. Names the rule's own host: an exact one added beside a
    wildcard would take its place."""
    port = f"port = {rules.port}\n" if rules.port != 443 else ""
    return (
        f'bottlegen: the profile "{literal(profile)}" has no route for %REQ(:METHOD)% %PATH(NQ)% '
        f"on {literal(rules.host)}\n"
        "to allow it, add these lines to the profile and start the bottle again:\n\n"
        f'[[egress.routes]]\nhost = "{literal(rules.host)}"\n{port}'
        'methods = ["%REQ(:METHOD)%"]\npaths = ["%PATH(NQ)%"]\n'
    )


def misdirected(rules: HostRules) -> str:
    """For a Host header that differs from the TLS server name."""
    return (
        f'bottlegen: this connection was opened for "{literal(rules.host)}" port {rules.port}, '
        "and the Host header names something else\n"
    )


@cache
def local_replies(*, restricts_paths: bool) -> Json:
    """Words for what Envoy refuses by itself; statuses stay as they are."""
    mappers = [
        _mapper(
            _status(401),
            'bottlegen: the credential "%METADATA(ROUTE:egress:slot)%" is empty, so the request was not sent; '
            "on the host, run: bottlegen refresh\n",
        ),
        _mapper(
            {"response_flag_filter": {"flags": ["DF"]}},
            "bottlegen: %REQ(:AUTHORITY)% has no public address (%RESPONSE_CODE_DETAILS%)\n"
            "an address inside a private network is named on the host, in host.toml:\n\n"
            '[upstream]\nhosts = {"%REQ(:AUTHORITY)%" = "ADDRESS"}\n',
        ),
        _mapper(
            {"response_flag_filter": {"flags": ["UF"]}},
            "bottlegen: no verified connection to %REQ(:AUTHORITY)% (%RESPONSE_CODE_DETAILS%)\n"
            "if it has a certificate of an authority of your own, name that on the host, in host.toml:\n\n"
            '[upstream]\nca_file = "FILE"\n',
        ),
    ]
    if restricts_paths:
        mappers.append(_mapper(_status(400), AMBIGUOUS_PATH))
    return Fixed({"mappers": mappers})


def _mapper(condition: Json, text: str) -> Json:
    return {"filter": condition, "body_format_override": text_format(text)}


def _status(code: int) -> Json:
    comparison = {"op": "EQ", "value": {"default_value": code, "runtime_key": f"egress.status_{code}"}}
    return {"status_code_filter": {"comparison": comparison}}

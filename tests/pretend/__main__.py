"""`python -m tests.pretend`: the pretend providers as a process, until it is told to end."""

import argparse
import json
import signal
import threading
from dataclasses import asdict
from pathlib import Path

from tests.pretend import HOSTS, Pretence, PretendProvider, Seen, TestAuthority


def main() -> None:
    """Write the authority's certificate, listen, say `ready ADDRESS PORT`, and serve until SIGTERM or SIGINT."""
    options = _parse()
    authority = TestAuthority()
    options.ca.write_text(authority.pem)
    pretence = Pretence(
        account=options.account,
        reply=options.reply,
        websocket=not options.no_websocket,
        command=options.command,
        expected=dict(pair.split("=", 1) for pair in options.expect),
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    hosts = (*HOSTS, *options.host)
    bind = (options.address, options.port)
    with PretendProvider(pretence, authority=authority, bind=bind, hosts=hosts, on_seen=_say) as provider:
        print("ready", *provider.address, flush=True)
        ended.wait()


def _say(seen: Seen) -> None:
    print(json.dumps(asdict(seen)), flush=True)


def _parse() -> argparse.Namespace:
    default = Pretence()
    parser = argparse.ArgumentParser(prog="python -m tests.pretend", description="one JSON line for each request")
    parser.add_argument("--ca", type=Path, required=True, help="where to write the certificate to trust")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--account", default=default.account)
    parser.add_argument("--reply", default=default.reply)
    parser.add_argument("--command", default="", help="make the agent run this in its shell tool first")
    parser.add_argument("--no-websocket", action="store_true", help="refuse every upgrade")
    parser.add_argument("--expect", action="append", default=[], metavar="HOST=TEXT", help="Authorization to insist on")
    parser.add_argument("--host", action="append", default=[], help="one more name in the certificate")
    return parser.parse_args()


if __name__ == "__main__":
    main()

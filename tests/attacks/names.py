"""A name server on this host: each label under names.test leads where an attempt wants it, also where none may."""

import ipaddress
import socket
import struct
import threading
import time
from collections.abc import Mapping

SUFFIX = "names.test"
_A, _AAAA = 1, 28
REBINDS_AFTER = 0.5
"""Seconds after its first answer in which `rebind` still is what it was: both families are asked at once."""


def table(*, internet: str, upstream: str) -> Mapping[str, tuple[str, ...]]:
    """Addresses by label. `internet` stands for a public one, `upstream` is a private one where something listens."""
    return {
        "public": (internet,),
        "upstream": (upstream,),
        "loopback": ("127.0.0.1",),
        "loopback-elsewhere": ("127.8.8.8",),
        "unspecified": ("0.0.0.0",),
        "ten": ("10.0.0.5",),
        "docker": ("172.17.0.1",),
        "home": ("192.168.1.1",),
        "metadata": ("169.254.169.254",),
        "carrier": ("100.100.100.200",),
        "broadcast": ("255.255.255.255",),
        "v6-loopback": ("::1",),
        "v6-mapped": (f"::ffff:{upstream}",),
        "v6-translated": (f"64:ff9b::{upstream}",),
        "v6-local": ("fd00:ec2::254",),
        "v6-link": ("fe80::1",),
        "v6-6to4": ("2002:7f00:1::1",),
        "mixed": (upstream, internet),
        "rebind": (internet,),
    }


class NameServer:
    """Answers over UDP until it is closed; `asked` holds every name. `rebind` changes to the upstream's own address."""

    def __init__(self, addresses: Mapping[str, tuple[str, ...]]) -> None:
        self.asked: list[str] = []
        self._addresses = dict(addresses)
        self._rebinds = 0.0
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("0.0.0.0", 0))
        self.port: int = self._sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def forget(self) -> None:
        """As if nothing had been asked yet."""
        self.asked.clear()
        self._rebinds = 0.0

    def close(self) -> None:
        self._sock.close()

    def _serve(self) -> None:
        while True:
            try:
                query, peer = self._sock.recvfrom(512)
                self._sock.sendto(self._answer(query), peer)
            except OSError:
                return

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12)
        labels, at = [], 12
        while at < end:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        self.asked.append(".".join(labels).lower())
        (kind,) = struct.unpack("!H", query[end + 1 : end + 3])
        found = [ipaddress.ip_address(each) for each in self._of(labels[-3].lower() if len(labels) > 2 else "")]
        records = [each.packed for each in found if kind == (_A if each.version == 4 else _AAAA)]
        answers = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(packed)) + packed for packed in records)
        return query[:2] + struct.pack("!5H", 0x8180, 1, len(records), 0, 0) + query[12 : end + 5] + answers

    def _of(self, label: str) -> tuple[str, ...]:
        if label == "rebind":
            self._rebinds = self._rebinds or time.monotonic() + REBINDS_AFTER
            if time.monotonic() > self._rebinds:
                return self._addresses["upstream"]
        return self._addresses.get(label, ())

"""What a microVM's monitor says of a connection before its bytes flow, and the one answer to it: a door, or a refusal.

The protocol is version 1 of smolvm's egress interceptor: magic, version, token, family, port, address, big-endian; the
answer is one byte, 0 or an errno of Linux.
"""

import hmac
import ipaddress
import struct
from collections.abc import Collection
from dataclasses import dataclass

MAGIC = b"SMOLICPT"
HEAD = struct.Struct("!8sB32sBH")
ADDRESS_BYTES = {4: 4, 6: 16}
"""By family; any other family is none of the protocol's."""

EGRESS_ADDRESS = "198.51.100.1"
"""As in bottlegen.plan, which the bare interpreter in a bottle does not have."""

CONNECTED, REFUSED, UNREACHABLE = 0, 13, 111
"""The verdicts: yes, EACCES, ECONNREFUSED."""


class NotAllowed(Exception):
    """Words of no monitor that knows this bottle's token: they are not answered."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the guest's program wanted to go."""

    address: str
    port: int

    @property
    def host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address


def head(data: bytes, token: bytes) -> tuple[int, int]:
    """Bytes of address that follow, and the port; NotAllowed unless magic, version, token and family are right."""
    magic, version, shown, family, port = HEAD.unpack(data)
    right = hmac.compare_digest(shown, token)  # in constant time, and before anything else is answered
    if magic != MAGIC or version != 1 or not right or family not in ADDRESS_BYTES:
        raise NotAllowed
    return ADDRESS_BYTES[family], port


def destination(port: int, address: bytes) -> Destination:
    return Destination(str(ipaddress.ip_address(address)), port)


def verdict(wanted: Destination, doors: Collection[int]) -> int:
    """Whether the guest may go there: only the egress's own address, and there only its doors."""
    return CONNECTED if wanted.address == EGRESS_ADDRESS and wanted.port in doors else REFUSED

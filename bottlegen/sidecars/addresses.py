"""Addresses that no name may lead a sidecar to: what is private, local, or a cloud's own is not the internet."""

from typing import Final

# What must never be reached by a name: IANA's special-purpose registries (RFC 6890 and successors), plus Azure's
# wire server, which is a metadata service at a public-looking address.
REFUSED: Final = (
    ("0.0.0.0", 8),  # noqa: S104 - "this network"; connects to the host itself on Linux
    ("10.0.0.0", 8),
    ("100.64.0.0", 10),  # carrier-grade NAT; also Alibaba's and Tailscale's own addresses
    ("127.0.0.0", 8),
    ("168.63.129.16", 32),  # Azure wire server
    ("169.254.0.0", 16),  # link-local; 169.254.169.254 and ECS metadata
    ("172.16.0.0", 12),
    ("192.0.0.0", 24),  # IETF assignments; Oracle metadata
    ("192.0.2.0", 24),  # documentation
    ("192.88.99.0", 24),  # 6to4 relay anycast, deprecated
    ("192.168.0.0", 16),
    ("198.18.0.0", 15),  # benchmarking
    ("198.51.100.0", 24),  # documentation
    ("203.0.113.0", 24),  # documentation
    ("224.0.0.0", 4),  # multicast
    ("240.0.0.0", 4),  # reserved and broadcast
    ("::", 96),  # unspecified, loopback, IPv4-compatible
    ("::ffff:0:0", 96),  # IPv4-mapped
    ("::ffff:0:0:0", 96),  # IPv4-translated
    ("64:ff9b::", 96),  # NAT64: would carry any IPv4 address
    ("64:ff9b:1::", 48),  # local NAT64
    ("100::", 64),  # discard
    ("100:0:0:1::", 64),  # dummy prefix
    ("2001::", 23),  # IETF assignments; Teredo carries IPv4 addresses
    ("2001:db8::", 32),  # documentation
    ("2002::", 16),  # 6to4 carries IPv4 addresses
    ("3fff::", 20),  # documentation
    ("5f00::", 16),  # segment routing
    ("fc00::", 7),  # unique local; AWS and GCP metadata
    ("fe80::", 10),  # link-local
    ("fec0::", 10),  # site-local, deprecated
    ("ff00::", 8),  # multicast
)

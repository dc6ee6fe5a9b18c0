"""Certificates of one bottle: a CA that can sign for the bottle's hosts alone, and whose key is dropped at once.

Names are constrained per RFC 5280 4.2.1.10, so that a leaked or kept CA certificate vouches for nothing else.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=90)
_CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Certificate chain and private key of one host pattern, PEM."""

    host: str
    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Leaf(host={self.host!r}, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What remains of the CA: its certificate (PEM) and the leaves it signed before its key was dropped."""

    certificate: bytes
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A CA that signs while the bottle runs: certificate and key, PEM, the key in its SEC1 form (RFC 5915)."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Signer(…)"


def mint_signer(hosts: Sequence[str], *, bottle: str, now: datetime.datetime) -> Signer:
    """A fresh CA for a sidecar that inspects traffic to `hosts`; nobody but the egress beside it is to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Signer(
        certificate=_ca_certificate(key, hosts, f"{bottle} inspection", now).public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
    )


def mint(hosts: Sequence[str], *, bottle: str, now: datetime.datetime) -> Authority:
    """A fresh CA and one leaf per host; `*.suffix` gives a wildcard name, which covers one label."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _ca_certificate(ca_key, hosts, bottle, now)
    leaves = tuple(_leaf(host, ca, ca_key, now) for host in hosts)
    return Authority(certificate=ca.public_bytes(serialization.Encoding.PEM), leaves=leaves)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _ca_certificate(
    key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    bottle: str,
    now: datetime.datetime,
) -> x509.Certificate:
    name = _name(f"bottlegen bottle {bottle}")
    permitted = [x509.DNSName(host.removeprefix("*.")) for host in sorted(set(hosts))] or [x509.DNSName("invalid")]
    excluded = [x509.IPAddress(ipaddress.ip_network(every)) for every in ("0.0.0.0/0", "::/0")]
    return (
        _builder(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, excluded), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    host: str,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
) -> Leaf:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("bottlegen egress"), ca.subject, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Leaf(host=host, chain=certificate.public_bytes(serialization.Encoding.PEM), key=pem)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )

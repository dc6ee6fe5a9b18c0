"""Certificates of one bottle: a CA that can sign for the bottle's hosts alone, and whose key is dropped at once.

Names are constrained per RFC 5280 4.2.1.10, so that a leaked or kept CA certificate vouches for nothing else. What will
be needed while the bottle runs is signed before the key goes: leaves for terms that follow each other (`Lives`).
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """For how long certificates are good: each leaf for `leaf`, of which the last third is the next term's too."""

    leaf: datetime.timedelta
    terms: int

    @property
    def step(self) -> datetime.timedelta:
        return self.leaf * 2 / 3

    @property
    def whole(self) -> datetime.timedelta:
        """From the first term's begin to the last one's end, which is the CA's life."""
        return self.step * (self.terms - 1) + self.leaf


LIVES = Lives(leaf=datetime.timedelta(days=90), terms=12)
"""Of a bottle: 750 days in all. Some TLS clients refuse certificates of more than 825 (Apple, since macOS 10.15)."""

_ONE_TERM = Lives(leaf=LIVES.leaf, terms=1)
_CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Certificate chain and private key, PEM, of some host patterns for one term; `part` numbers the patterns' leaf."""

    hosts: tuple[str, ...]
    part: int
    term: int
    chain: bytes
    key: bytes

    @property
    def host(self) -> str:
        """The first of them, for a leaf that is one host's."""
        return self.hosts[0]

    def __repr__(self) -> str:
        return f"Leaf(hosts={self.hosts!r}, term={self.term}, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """When the leaves of one term are good."""

    begins: datetime.datetime
    ends: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What remains of the CA: its certificate (PEM) and the leaves it signed before its key was dropped."""

    certificate: bytes
    leaves: tuple[Leaf, ...]
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A CA that signs while the bottle runs: certificate and key, PEM, the key in its SEC1 form (RFC 5915)."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Signer(…)"


def mint_signer(hosts: Sequence[str], *, bottle: str, now: datetime.datetime, lives: Lives = LIVES) -> Signer:
    """A fresh CA for a sidecar that inspects traffic to `hosts`; nobody but the egress beside it is to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    term = Term(begins=now - _CLOCK_SKEW, ends=now + lives.whole)
    return Signer(
        certificate=_ca_certificate(key, hosts, f"{bottle} inspection", term).public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
    )


def mint(
    hosts: Sequence[str], *, bottle: str, now: datetime.datetime, together: int = 1, lives: Lives = _ONE_TERM
) -> Authority:
    """A fresh CA and leaves, each for so many hosts `together`, in each term; `*.suffix` is a wildcard name, which
    covers one label."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    whole = Term(begins=now - _CLOCK_SKEW, ends=now + lives.whole)
    ca = _ca_certificate(ca_key, hosts, bottle, whole)
    begins = (now + lives.step * term for term in range(lives.terms))
    terms = tuple(Term(begins=begin - _CLOCK_SKEW, ends=begin + lives.leaf) for begin in begins)
    leaves = tuple(
        _leaf(tuple(hosts[at : at + together]), at // together, number, ca, ca_key, term)
        for number, term in enumerate(terms)
        for at in range(0, len(hosts), together)
    )
    return Authority(certificate=ca.public_bytes(serialization.Encoding.PEM), leaves=leaves, terms=terms)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, term: Term
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(term.begins)
        .not_valid_after(term.ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _ca_certificate(
    key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    bottle: str,
    term: Term,
) -> x509.Certificate:
    name = _name(f"bottlegen bottle {bottle}")
    permitted = [x509.DNSName(host.removeprefix("*.")) for host in sorted(set(hosts))] or [x509.DNSName("invalid")]
    excluded = [x509.IPAddress(ipaddress.ip_network(every)) for every in ("0.0.0.0/0", "::/0")]
    return (
        _builder(name, name, key.public_key(), term)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, excluded), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    hosts: tuple[str, ...],
    part: int,
    number: int,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    term: Term,
) -> Leaf:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("bottlegen egress"), ca.subject, key.public_key(), term)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
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
    chain = certificate.public_bytes(serialization.Encoding.PEM)
    return Leaf(hosts=hosts, part=part, term=number, chain=chain, key=pem)


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

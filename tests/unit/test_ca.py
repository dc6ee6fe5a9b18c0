"""The bottle's certificates: signed by a CA that can sign for nothing else, and whose key is gone."""

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from runtime import ca

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


def _verified(authority: ca.Authority, leaf: ca.Leaf, name: str, at: datetime.datetime = NOW) -> bool:
    root = x509.load_pem_x509_certificate(authority.certificate)
    verifier = PolicyBuilder().store(Store([root])).time(at).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(x509.load_pem_x509_certificate(leaf.chain), [])
    except VerificationError:
        return False
    return True


def test_a_leaf_serves_its_host_and_no_other() -> None:
    authority = ca.mint(("api.example.com", "*.wild.example"), bottle="b", now=NOW)
    exact, wild = authority.leaves
    assert _verified(authority, exact, "api.example.com")
    assert not _verified(authority, exact, "other.example.com")
    assert _verified(authority, wild, "one.wild.example")
    assert not _verified(authority, wild, "two.labels.wild.example")


def test_names_outside_are_refused_even_with_a_good_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """The constraint itself: a leaf for another host, signed by the same CA, does not verify."""
    real = ca._ca_certificate
    monkeypatch.setattr(
        ca, "_ca_certificate", lambda key, hosts, bottle, term: real(key, ["api.example.com"], bottle, term)
    )
    authority = ca.mint(("api.example.com", "evil.example.net"), bottle="b", now=NOW)
    assert _verified(authority, authority.leaves[0], "api.example.com")
    assert not _verified(authority, authority.leaves[1], "evil.example.net")


def test_shape() -> None:
    authority = ca.mint(("api.example.com",), bottle="b", now=NOW)
    root = x509.load_pem_x509_certificate(authority.certificate)
    constraints = root.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName("api.example.com")]
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert root.not_valid_after_utc - NOW == datetime.timedelta(days=90)
    key = serialization.load_pem_private_key(authority.leaves[0].key, None)
    leaf = x509.load_pem_x509_certificate(authority.leaves[0].chain)
    assert key.public_key() == leaf.public_key()


def test_no_host_still_has_a_ca() -> None:
    assert ca.mint((), bottle="b", now=NOW).leaves == ()


def test_a_key_is_not_shown() -> None:
    leaf = ca.mint(("api.example.com",), bottle="b", now=NOW).leaves[0]
    assert "PRIVATE" not in repr(leaf)


def test_openssl_reads_it(tmp_path: Path) -> None:
    authority = ca.mint(("api.example.com",), bottle="b", now=NOW)
    (tmp_path / "pair.pem").write_bytes(authority.leaves[0].key + authority.leaves[0].chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")


def test_terms_follow_each_other_without_a_gap_under_one_ca() -> None:
    """At any moment of two years a leaf verifies; at the begin of each term the one before has a third of its life."""
    authority = ca.mint(("api.example.com",), bottle="b", now=NOW, lives=ca.LIVES)
    assert [leaf.term for leaf in authority.leaves] == [*range(12)]
    day = datetime.timedelta(days=1)
    for at in range(0, 750, 5):
        moment = NOW + at * day
        good = [leaf.term for leaf in authority.leaves if _verified(authority, leaf, "api.example.com", moment)]
        assert good, at
        assert good[-1] == max(term for term in range(12) if authority.terms[term].begins <= moment)
    assert not any(_verified(authority, leaf, "api.example.com", NOW + 751 * day) for leaf in authority.leaves)
    first, second = authority.terms[:2]
    assert first.ends - second.begins == 30 * day + datetime.timedelta(hours=1)
    assert len({leaf.key for leaf in authority.leaves}) == 12


def test_leaves_shared_by_hosts() -> None:
    hosts = tuple(f"h{number:02}.example.com" for number in range(5))
    authority = ca.mint(hosts, bottle="b", now=NOW, together=2)
    assert [(leaf.part, leaf.hosts) for leaf in authority.leaves] == [(0, hosts[:2]), (1, hosts[2:4]), (2, hosts[4:])]
    assert _verified(authority, authority.leaves[1], hosts[3])
    assert not _verified(authority, authority.leaves[1], hosts[4])


def test_apple_would_take_them() -> None:
    assert ca.LIVES.whole <= datetime.timedelta(days=825)

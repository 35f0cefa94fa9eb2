"""The webhook's own authority and serving certificate: what is due is made anew, what is valid stays. Pure but for random keys.

Order of a rotation: a new authority first joins the bundle that API servers trust, and signs a serving certificate only at the
next look, when the bundle has been published. The old authority stays in the bundle until it expires, so no call fails meanwhile.

Only `netmgr.webhook.issue` imports this file, in a process of its own: `cryptography` costs 8 MiB that the controller would keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE, SERVING_LIFE = timedelta(days=3650), timedelta(days=90)
SKEW = timedelta(minutes=5)
"""Clocks of API servers may be behind."""
SETTLE = timedelta(seconds=15)
"""From a new authority's first publication to the first certificate that it signs."""
ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Held:
    """PEM: the trusted authorities, newest first; the newest one's key; the serving certificate and its key."""

    bundle: bytes
    authority_key: bytes
    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Understood:
    """What is held, parsed."""

    authorities: list[x509.Certificate]
    authority_key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def renewed(held: Held | None, names: Sequence[str], now: datetime) -> tuple[Held, datetime]:
    """What to hold from now on, and when to look again."""
    known = understood(held)
    if held is None or known is None or known.authorities[0].not_valid_after_utc <= now:
        return begun(names, now)
    authorities = [one for one in known.authorities if one.not_valid_after_utc > now]
    if due(authorities[0]) <= now:
        key = ec.generate_private_key(ec.SECP256R1())
        joined = Held(pem([authority(key, now), *authorities]), secret(key), held.certificate, held.key)
        return joined, now + SETTLE
    if not serves(known.certificate, authorities[0], names) or due(known.certificate) <= now:
        certificate, key = serving(authorities[0], known.authority_key, names, now)
        return Held(pem(authorities), held.authority_key, pem([certificate]), secret(key)), next_look(authorities[0], certificate)
    return Held(pem(authorities), held.authority_key, held.certificate, held.key), next_look(authorities[0], known.certificate)


def begun(names: Sequence[str], now: datetime) -> tuple[Held, datetime]:
    """A first authority and its first certificate."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = authority(root_key, now)
    certificate, key = serving(root, root_key, names, now)
    return Held(pem([root]), secret(root_key), pem([certificate]), secret(key)), next_look(root, certificate)


def understood(held: Held | None) -> Understood | None:
    """Nothing where a part is missing, unreadable or does not fit: then everything is made anew."""
    if held is None:
        return None
    try:
        authorities = x509.load_pem_x509_certificates(held.bundle)
        key = serialization.load_pem_private_key(held.authority_key, None)
        certificate = x509.load_pem_x509_certificate(held.certificate)
        serving_key = serialization.load_pem_private_key(held.key, None)
    except (ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authorities[0].public_key():
        return None
    fits = serving_key.public_key() == certificate.public_key()
    return Understood(authorities, key, certificate) if fits else None


def serves(certificate: x509.Certificate, root: x509.Certificate, names: Sequence[str]) -> bool:
    """Whether the certificate is of this authority and for these names."""
    try:
        certificate.verify_directly_issued_by(root)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return set(names) <= set(found.get_values_for_type(x509.DNSName))


def due(certificate: x509.Certificate) -> datetime:
    """When two thirds of its life are over."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 / 3


def next_look(*certificates: x509.Certificate) -> datetime:
    """When the first of them is due."""
    return min(due(one) for one in certificates)


def authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """A new authority; its name carries the day, so that two in one bundle can be told apart."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"netmgr webhook authority {now:%Y-%m-%d %H:%M:%S}")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    built = begin(name, name, key, now, AUTHORITY_LIFE)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(usage, critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return built.add_extension(identifier, critical=False).sign(key, hashes.SHA256())


def serving(
    root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, names: Sequence[str], now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A new serving certificate for these DNS names and the loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "netmgr webhook")])
    alternatives: list[x509.GeneralName] = [x509.DNSName(one) for one in names]
    alternatives += [x509.IPAddress(ip_address(one)) for one in ADDRESSES]
    built = begin(subject, root.subject, key, now, SERVING_LIFE)
    built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    built = built.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    return built.add_extension(issuer, critical=False).sign(root_key, hashes.SHA256()), key


def begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    """What all certificates have."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
    )


def pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """Certificates as PEM, one after the other."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

"""Certificates and kubeconfigs of a lab's cluster: one authority, thrown away with the lab.

I/O: writes below the given folder, one subfolder a machine with exactly what that machine needs. Keys are P-256 except the one that
signs ServiceAccount tokens (RSA, which every verifier takes).
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = dt.timedelta(days=365)
SERVER_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost")
SERVER_ADDRESSES = ("127.0.0.1", "10.96.0.1", "fd00:96::1")
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs what one cluster needs. `now` is when its certificates begin to be valid."""

    def __init__(self, now: dt.datetime) -> None:
        self.now = now - dt.timedelta(minutes=5)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
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
        builder = self._builder(self.name, self.key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = pem(builder.add_extension(usage, critical=True).sign(self.key, hashes.SHA256()))

    def client(self, user: str, group: str = "") -> Pair:
        """A client certificate of a user, in at most one group."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return Pair(
            pem(self._builder(subject, key).add_extension(usage, critical=False).sign(self.key, hashes.SHA256())), secret(key)
        )

    def server(self, addresses: Sequence[str]) -> Pair:
        """The API server's certificate, for its own names and these addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in SERVER_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(one)) for one in (*SERVER_ADDRESSES, *addresses)]
        builder = self._builder(subject, key).add_extension(x509.SubjectAlternativeName(names), critical=False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return Pair(pem(builder.add_extension(usage, critical=False).sign(self.key, hashes.SHA256())), secret(key))

    def kubeconfig(self, server: str, pair: Pair) -> str:
        """A kubeconfig with everything inline (JSON, which is YAML)."""
        cluster = {"server": server, "certificate-authority-data": text(self.certificate)}
        user = {"client-certificate-data": text(pair.certificate), "client-key-data": text(pair.key)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
        return json.dumps(content, indent=1) + "\n"

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now)
            .not_valid_after(self.now + VALIDITY)
        )


def write_control_plane(authority: Authority, folder: Path, addresses: Sequence[str]) -> None:
    """What etcd, API server, controller manager and scheduler need."""
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = signer.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    put(folder / "ca.crt", authority.certificate)
    put(folder / "sa.key", secret(signer))
    put(folder / "sa.pub", public)
    put_pair(folder / "apiserver", authority.server(addresses))
    put_pair(folder / "kubelet-client", authority.client("kube-apiserver-kubelet-client", "system:masters"))
    put_pair(folder / "front-proxy", authority.client("front-proxy-client"))
    for program, user in (("controller-manager", "system:kube-controller-manager"), ("scheduler", "system:kube-scheduler")):
        content = authority.kubeconfig("https://127.0.0.1:6443", authority.client(user))
        put(folder / f"{program}.kubeconfig", content.encode())


def write_node(authority: Authority, folder: Path, node: str, server: str) -> None:
    """What the kubelet and kube-proxy of one node need; `server` is the API server as that node reaches it."""
    put(folder / "ca.crt", authority.certificate)
    kubelet = authority.client(f"system:node:{node}", "system:nodes")
    put(folder / "kubelet.kubeconfig", authority.kubeconfig(server, kubelet).encode())
    put(folder / "kube-proxy.kubeconfig", authority.kubeconfig(server, authority.client("system:kube-proxy")).encode())


def put(path: Path, content: bytes) -> None:
    """Write a file that only root reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def put_pair(path: Path, pair: Pair) -> None:
    """Write `path`.crt and `path`.key."""
    put(path.with_suffix(".crt"), pair.certificate)
    put(path.with_suffix(".key"), pair.key)


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def secret(key: Key) -> bytes:
    """A private key as PEM; ServiceAccount keys must be in the traditional form."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def text(content: bytes) -> str:
    """Base64, as kubeconfigs hold it."""
    return base64.b64encode(content).decode()

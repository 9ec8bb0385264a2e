"""A real broker that asks who is there: client certificates, logins, and access lists."""

from __future__ import annotations

import datetime
import ipaddress
import tempfile
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.kafka import PATIENCE, SCRAM, USER, Node, free_port, script

KEY_PASSWORD = "only for this key"
NAME = "streamer"
PRINCIPALS = {"login": f"User:{USER}", "mutual": f"User:CN={NAME}"}


class Authority:
    """Signs certificates into a folder, as PEM."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        certificate = self._sign(self._name, self._key.public_key(), authority=True)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certify(self, name: str, password: str | None = None) -> tuple[Path, Path]:
        """Files of a certificate for 127.0.0.1 and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), authority=False)
        places = (self._folder / f"{name}.{self.file.stem}.pem", self._folder / f"{name}.key")
        places[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        places[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()
                if password is None
                else serialization.BestAvailableEncryption(password.encode()),
            )
        )
        return places

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )


@dataclass(frozen=True)
class Secured(Node):
    """A broker where nobody may do anything that no list allows.

    Attributes:
        mutual: With TLS and a client certificate. At ``address`` everybody may do everything.
        login: With SCRAM-SHA-512 and without TLS.
        authority: PEM of who signed the broker's certificate.
        certificate: A client's that the broker trusts, and its key.
        stranger: One that it does not trust.
    """

    mutual: str
    login: str
    authority: Path
    certificate: tuple[Path, Path]
    stranger: tuple[Path, Path]

    @classmethod
    def start(cls) -> Secured:
        folder = Path(tempfile.mkdtemp(prefix="kafka-"))
        known, unknown = Authority(folder, "authority"), Authority(folder, "nobody")
        pair = known.certify("broker")
        store = folder / "broker-store.pem"
        store.write_bytes(b"".join(file.read_bytes() for file in reversed(pair)))
        mutual, login = free_port(), free_port()
        places = {
            "PLAINTEXT": "@CLIENT@",
            "CONTROLLER": "@CONTROLLER@",
            "MUTUAL": mutual,
            "LOGIN": login,
        }
        lines = {
            "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in places.items()),
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MUTUAL:SSL,LOGIN:SASL_PLAINTEXT"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": store,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": known.file,
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.login.scram-sha-512.sasl.jaas.config": SCRAM,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "group.min.session.timeout.ms": "1000",
        }
        extra = folder / "extra.properties"
        extra.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        data = folder / "data"
        address = script("start", "--data", data, "--properties", extra).strip()
        broker = cls(
            data,
            address,
            f"127.0.0.1:{mutual}",
            f"127.0.0.1:{login}",
            known.file,
            known.certify(NAME, KEY_PASSWORD),
            unknown.certify("stranger"),
        )
        broker.enroll()
        return broker

    def allow(self, *rights: str, listener: str = "login") -> None:
        """Grants ``OPERATION topic NAME`` or ``… group …``; a name that ends in * is a prefix."""
        admin, bindings = self.admin(), [_binding(each, listener) for each in rights]
        for future in admin.create_acls(bindings).values() if bindings else ():
            future.result(PATIENCE)

    def forbid(self, *rights: str, listener: str = "login") -> None:
        """Takes such rights back."""
        filters = []
        for each in rights:
            kept = _binding(each, listener)
            filters.append(
                AclBindingFilter(
                    kept.restype,
                    kept.name,
                    kept.resource_pattern_type,
                    kept.principal,
                    kept.host,
                    kept.operation,
                    kept.permission_type,
                )
            )
        admin = self.admin()
        for future in admin.delete_acls(filters).values():
            future.result(PATIENCE)


def _binding(right: str, listener: str) -> AclBinding:
    operation, kind, name = right.split()
    prefix = name.endswith("*") and name != "*"
    return AclBinding(
        ResourceType[{"cluster": "broker"}.get(kind, kind).upper()],
        name.removesuffix("*") if prefix else name,
        ResourcePatternType.PREFIXED if prefix else ResourcePatternType.LITERAL,
        PRINCIPALS[listener],
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )

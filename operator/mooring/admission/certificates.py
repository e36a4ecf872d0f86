"""Certificates of the webhook: owns making a CA and a serving certificate, and the decision to renew them.

Pure functions over PEM bytes and a given time; applying the Secret and the caBundle is the controller's. It
refuses to keep the CA's private key: a CA signs one serving certificate and is forgotten, so there is no key that
could sign another. A renewal therefore makes a new CA; `ca_certificates` carries the one before as well, so that
an API server that trusts both takes a replica with either certificate while a renewal is on its way. `choice` keeps
a replica from showing a certificate before the API server trusts it.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import enum
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SECRET = "mooring-webhook-tls"  # noqa: S105  a name, not a secret
SERVICE = "mooring-webhook"
LIFETIME = datetime.timedelta(days=365)

_NAME = "mooring-webhook-ca"
#: CAs that are trusted at once; more than one renewal at a time is an accident.
_MOST_TRUSTED = 3

#: A clock that runs behind ours must not take a new certificate for one of the future.
_BACKDATED = datetime.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """What the webhook serves with, all PEM: the CAs to trust (newest first), the certificate, its key."""

    ca_certificates: bytes
    certificate: bytes
    private_key: bytes = dataclasses.field(repr=False)


class UnusableSecretError(ValueError):
    """A Secret that holds no complete certificate; the text says what is missing."""


def server_name(namespace: str) -> str:
    """Return the name that the API server expects in the certificate."""
    return f"{SERVICE}.{namespace}.svc"


def make(*, namespace: str, now: datetime.datetime, previous: Bundle | None = None) -> Bundle:
    """Make a CA and a serving certificate, valid for a year from `now` (aware, UTC).

    `previous` is the bundle that is replaced; its newest CA stays trusted.
    """
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # The CA's name is unique: OpenSSL looks issuers up by name, and two CAs of one name would be confused.
    issuer = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, _NAME),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, format(x509.random_serial_number(), "x")[:32]),
        ]
    )
    ca = (
        _builder(issuer=issuer, subject=issuer, key=ca_key.public_key(), now=now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    host = server_name(namespace)
    names = [host, f"{host}.cluster.local", f"{SERVICE}.{namespace}"]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVICE)])
    certificate = (
        _builder(issuer=issuer, subject=subject, key=key.public_key(), now=now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    trusted = _pem(ca) + (_newest(previous.ca_certificates) if previous is not None else b"")
    return Bundle(
        ca_certificates=trusted,
        certificate=_pem(certificate),
        private_key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def needs_renewal(bundle: Bundle, *, namespace: str, now: datetime.datetime) -> bool:
    """Tell whether a bundle must be replaced.

    It must when less than a third of its life is left, when it is not valid yet, for another name, does not fit
    its key or its CA, or cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificate(bundle.certificate)
        key = serialization.load_pem_private_key(bundle.private_key, password=None)
        trusted = x509.load_pem_x509_certificates(bundle.ca_certificates)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate.verify_directly_issued_by(trusted[0])
    except Exception:
        return True
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        key.public_key() != certificate.public_key()
        or server_name(namespace) not in names.get_values_for_type(x509.DNSName)
        or now < starts
        or ends - now < (ends - starts) / 3
    )


def ends(bundle: Bundle) -> datetime.datetime | None:
    """Return when the certificate ends; None for one that cannot be read."""
    try:
        return x509.load_pem_x509_certificate(bundle.certificate).not_valid_after_utc
    except ValueError:
        return None


class Choice(enum.Enum):
    """What a replica does about a certificate other than the one that it shows."""

    SHOW = "show it"
    SOON = "show it when all API servers have had time to learn of its CA"
    WAIT = "go on with the one before: its CA is not trusted yet"


def choice(wanted: Bundle, *, shown: Bundle | None, trusted: bytes | None) -> Choice:
    """Say when to show the certificate `wanted` in place of `shown`.

    `trusted` is what the webhook configuration says that the API server trusts, PEM; None where there is no
    configuration, so that nobody asks. Pure; raises nothing, whatever the bytes are.
    """
    if shown is None or shown == wanted or trusted is None or not trusts(trusted, shown):
        # Nothing is lost by showing it: what is shown now is not taken either.
        return Choice.SHOW
    return Choice.SOON if trusts(trusted, wanted) else Choice.WAIT


def trusts(trusted: bytes, bundle: Bundle) -> bool:
    """Tell whether a caBundle (PEM) holds the newest CA of a bundle."""
    newest = _newest(bundle.ca_certificates)
    if not newest:
        return False
    try:
        return any(_pem(each) == newest for each in x509.load_pem_x509_certificates(trusted))
    except ValueError:
        return False


def to_secret(bundle: Bundle, *, namespace: str) -> dict[str, object]:
    """Return the Secret as a manifest for server-side apply."""
    files = {"ca.crt": bundle.ca_certificates, "tls.crt": bundle.certificate, "tls.key": bundle.private_key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET, "namespace": namespace},
        "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }


def from_secret(secret: Mapping[str, object]) -> Bundle:
    """Read a Secret as the API returns it; raises UnusableSecretError."""
    data = secret.get("data")
    if not isinstance(data, Mapping):
        raise UnusableSecretError(f"Secret {SECRET} has no data")
    return Bundle(
        ca_certificates=_file(data, "ca.crt"),
        certificate=_file(data, "tls.crt"),
        private_key=_file(data, "tls.key"),
    )


def ca_bundle(bundle: Bundle) -> str:
    """Return what stands in `clientConfig.caBundle` of the webhook configuration."""
    return base64.b64encode(bundle.ca_certificates).decode()


def overlapping(bundle: Bundle, present: bytes, *, now: datetime.datetime) -> Bundle:
    """Return the bundle with those CAs of ours beside its own that are trusted already and not over.

    A replica may show a certificate of one of them, whatever became of the Secret meanwhile; one CA or two are kept.
    """
    try:
        before = x509.load_pem_x509_certificates(present) if present.strip() else []
        own = x509.load_pem_x509_certificates(bundle.ca_certificates)
    except ValueError:
        return bundle
    kept = [
        each
        for each in before
        if each not in own and each.not_valid_after_utc > now and _NAME in {name.value for name in each.subject}
    ]
    return dataclasses.replace(bundle, ca_certificates=b"".join(_pem(each) for each in [*own, *kept][:_MOST_TRUSTED]))


def from_ca_bundle(text: object) -> bytes:
    """Return a `clientConfig.caBundle` as PEM; b"" where it is absent or not base64."""
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        return b""


def _file(data: Mapping[str, object], name: str) -> bytes:
    content = data.get(name)
    if not isinstance(content, str) or not content:
        raise UnusableSecretError(f"Secret {SECRET} has no {name}")
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise UnusableSecretError(f"Secret {SECRET}: {name} is not base64") from error


def _builder(
    *, issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _newest(pem: bytes) -> bytes:
    try:
        return _pem(x509.load_pem_x509_certificates(pem)[0])
    except ValueError:
        return b""

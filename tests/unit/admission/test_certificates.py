"""The webhook's certificates."""

from __future__ import annotations

import base64
import dataclasses
import datetime

import pytest
from cryptography import x509

from mooring.admission import certificates

NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
BUNDLE = certificates.make(namespace="mooring-system", now=NOW)


def needs_renewal(bundle: certificates.Bundle, *, after: datetime.timedelta = DAY) -> bool:
    return certificates.needs_renewal(bundle, namespace="mooring-system", now=NOW + after)


def test_the_certificate_is_for_the_services_name_and_signed_by_the_ca() -> None:
    certificate = x509.load_pem_x509_certificate(BUNDLE.certificate)
    (ca,) = x509.load_pem_x509_certificates(BUNDLE.ca_certificates)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "mooring-webhook.mooring-system.svc" in names.get_values_for_type(x509.DNSName)
    certificate.verify_directly_issued_by(ca)


def test_the_cas_key_is_not_kept() -> None:
    files = [BUNDLE.ca_certificates, BUNDLE.certificate, BUNDLE.private_key]
    assert sum(content.count(b"PRIVATE KEY-----\n") for content in files) == 2  # its begin and its end


def test_the_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(BUNDLE)


class TestRenewal:
    def test_a_fresh_certificate_is_kept(self) -> None:
        assert not needs_renewal(BUNDLE)

    def test_it_is_renewed_when_a_third_of_its_life_is_left(self) -> None:
        assert not needs_renewal(BUNDLE, after=243 * DAY)
        assert needs_renewal(BUNDLE, after=244 * DAY)
        assert needs_renewal(BUNDLE, after=400 * DAY)

    def test_one_for_another_namespace_is_replaced(self) -> None:
        assert certificates.needs_renewal(BUNDLE, namespace="elsewhere", now=NOW)

    def test_one_that_is_not_valid_yet_is_replaced(self) -> None:
        assert needs_renewal(BUNDLE, after=-DAY)

    @pytest.mark.parametrize("field", ["ca_certificates", "certificate", "private_key"])
    def test_one_that_cannot_be_read_is_replaced(self, field: str) -> None:
        assert needs_renewal(dataclasses.replace(BUNDLE, **{field: b"garbage"}))

    @pytest.mark.parametrize("field", ["ca_certificates", "private_key"])
    def test_one_whose_parts_do_not_fit_is_replaced(self, field: str) -> None:
        other = certificates.make(namespace="mooring-system", now=NOW)
        assert needs_renewal(dataclasses.replace(BUNDLE, **{field: getattr(other, field)}))

    def test_the_ca_before_stays_trusted_and_the_one_before_that_does_not(self) -> None:
        second = certificates.make(namespace="mooring-system", now=NOW, previous=BUNDLE)
        third = certificates.make(namespace="mooring-system", now=NOW, previous=second)
        trusted = x509.load_pem_x509_certificates(third.ca_certificates)
        assert len(trusted) == 2
        x509.load_pem_x509_certificate(third.certificate).verify_directly_issued_by(trusted[0])
        x509.load_pem_x509_certificate(second.certificate).verify_directly_issued_by(trusted[1])

    def test_a_broken_bundle_before_does_not_matter(self) -> None:
        broken = dataclasses.replace(BUNDLE, ca_certificates=b"garbage")
        renewed = certificates.make(namespace="mooring-system", now=NOW, previous=broken)
        assert not needs_renewal(renewed)


class TestSecret:
    def test_what_is_written_is_read_again(self) -> None:
        secret = certificates.to_secret(BUNDLE, namespace="mooring-system")
        assert secret["type"] == "kubernetes.io/tls"
        assert certificates.from_secret(secret) == BUNDLE

    @pytest.mark.parametrize("name", ["ca.crt", "tls.crt", "tls.key"])
    @pytest.mark.parametrize("content", [None, "", "*"])
    def test_a_secret_that_lacks_a_part_is_refused_by_its_name(self, name: str, content: object) -> None:
        secret = certificates.to_secret(BUNDLE, namespace="mooring-system")
        data = secret["data"]
        assert isinstance(data, dict)
        with pytest.raises(certificates.UnusableSecretError, match=name):
            certificates.from_secret({"data": {**data, name: content}})

    def test_a_secret_without_data_is_refused(self) -> None:
        with pytest.raises(certificates.UnusableSecretError, match="no data"):
            certificates.from_secret({})

    def test_the_ca_bundle_is_what_the_webhook_configuration_takes(self) -> None:
        assert base64.b64decode(certificates.ca_bundle(BUNDLE)) == BUNDLE.ca_certificates

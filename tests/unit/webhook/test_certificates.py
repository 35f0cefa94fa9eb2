"""What is due is made anew, what is valid stays; API servers trust the one before they meet its certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from netmgr.webhook.certificates import AUTHORITY_LIFE, SERVING_LIFE, SETTLE, Held, renewed

NAMES = ["netmgr-webhook.netmgr-system.svc"]
START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def first() -> tuple[Held, datetime]:
    """What a fresh installation holds, and when it is to be looked at."""
    return renewed(None, NAMES, START)


def authorities(held: Held) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(held.bundle)


def certificate(held: Held) -> x509.Certificate:
    return x509.load_pem_x509_certificate(held.certificate)


def test_a_first_certificate_is_of_the_first_authority_and_for_the_service(first: tuple[Held, datetime]) -> None:
    held, again = first
    certificate(held).verify_directly_issued_by(authorities(held)[0])
    names = certificate(held).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == NAMES
    assert START + SERVING_LIFE / 2 < again < START + SERVING_LIFE


def test_nothing_changes_before_it_is_due(first: tuple[Held, datetime]) -> None:
    held, again = first
    assert renewed(held, NAMES, START + timedelta(days=30)) == (held, again)


def test_a_serving_certificate_is_renewed_by_the_same_authority(first: tuple[Held, datetime]) -> None:
    held, again = first
    now, _ = renewed(held, NAMES, again)
    assert now.bundle == held.bundle
    assert certificate(now).not_valid_after_utc > certificate(held).not_valid_after_utc
    certificate(now).verify_directly_issued_by(authorities(held)[0])


def test_another_name_needs_another_certificate(first: tuple[Held, datetime]) -> None:
    now, _ = renewed(first[0], ["netmgr-webhook.other.svc"], START)
    assert now.certificate != first[0].certificate
    assert now.bundle == first[0].bundle


def test_a_new_authority_is_trusted_before_it_signs(first: tuple[Held, datetime]) -> None:
    """At each step the API server's bundle, old or new, verifies the certificate that replicas serve."""
    late = START + AUTHORITY_LIFE * 3 / 4
    held, _ = renewed(replace(first[0]), NAMES, START)
    serving = renewed(held, NAMES, START + SERVING_LIFE * 3 / 4)[0]
    joined, again = renewed(serving, NAMES, late)
    assert (len(authorities(joined)), joined.certificate) == (2, serving.certificate)
    assert again == late + SETTLE
    signed, _ = renewed(joined, NAMES, again)
    assert signed.bundle == joined.bundle
    certificate(signed).verify_directly_issued_by(authorities(joined)[0])


def test_an_expired_authority_leaves_the_bundle(first: tuple[Held, datetime]) -> None:
    joined, again = renewed(first[0], NAMES, START + AUTHORITY_LIFE * 3 / 4)
    signed, _ = renewed(joined, NAMES, again)
    later, _ = renewed(signed, NAMES, START + AUTHORITY_LIFE + timedelta(days=1))
    assert authorities(later) == authorities(joined)[:1]


@pytest.mark.parametrize("part", ["bundle", "authority_key", "certificate", "key"])
def test_what_cannot_be_read_is_made_anew_as_a_whole(first: tuple[Held, datetime], part: str) -> None:
    now, _ = renewed(replace(first[0], **{part: b"garbage"}), NAMES, START)
    certificate(now).verify_directly_issued_by(authorities(now)[0])
    assert now.bundle != first[0].bundle


def test_a_key_of_another_certificate_is_made_anew(first: tuple[Held, datetime]) -> None:
    other, _ = renewed(None, NAMES, START)
    now, _ = renewed(replace(first[0], key=other.key), NAMES, START)
    assert now.bundle != first[0].bundle

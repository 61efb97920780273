"""Certificates of an authority of the tests' own."""

import ssl
from datetime import UTC, datetime
from functools import cache

import trustme


@cache
def authority() -> trustme.CA:
    """The authority that the TLS servers of the tests are certified by."""
    return trustme.CA()


@cache
def server_context(
    name: str = "127.0.0.1", *, expired: bool = False, strict: bool = False
) -> ssl.SSLContext:
    """The context of a server that has a certificate for `name`, and if `strict`, wants one of its
    client."""
    begin, end = (datetime(year, 1, 1, tzinfo=UTC) if expired else None for year in (2000, 2001))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority().issue_cert(name, not_before=begin, not_after=end)
    with certificate.private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    context.verify_mode = ssl.CERT_REQUIRED if strict else ssl.CERT_NONE
    return context


@cache
def client_context() -> ssl.SSLContext:
    """The context of a client that trusts the authority."""
    return ssl.create_default_context(cadata=authority().cert_pem.bytes().decode())

"""Headers and addresses without secrets."""

from __future__ import annotations

import base64

import pytest

from looplet.redaction import Redactor
from looplet.replay.http.hiding import (
    credentials,
    shown_request_headers,
    shown_response_headers,
    shown_uri,
)

PLAIN = Redactor(defaults=False)
HIDING = Redactor(secrets={"door": "sesame99"}, defaults=False)


def test_headers_of_a_request_are_hidden_unless_they_are_known_to_be_harmless():
    given = {
        "Authorization": "Bearer a", "X-Tenant": "acme", "Accept": "*/*", "Content-Length": "7",
        "Content-Encoding": "gzip", "X-Stainless-OS": "Linux", "User-Agent": "me, sesame99",
        "Host": b"h",
    }  # fmt: skip
    assert shown_request_headers(given, HIDING) == {
        "accept": "*/*", "authorization": "[REDACTED:authorization]", "host": "h",
        "user-agent": "me, [REDACTED:door]", "x-tenant": "[REDACTED:x-tenant]",
    }  # fmt: skip
    assert shown_request_headers(given, HIDING, keep=["X-TENANT"])["x-tenant"] == "acme"


def test_headers_of_a_response_are_kept_unless_they_tell_who_asked():
    given = {
        "Content-Type": ["text/plain"], "Set-Cookie": ["a=b"], "OpenAI-Organization": ["acme"],
        "openai-project": ["p"], "x-ratelimit-remaining-tokens": ["17"], "x-request-id": ["r"],
        "www-authenticate": ["Basic"], "x-auth-token": ["t"], "x-debug": ["sesame99", "b"],
        "location": ["http://h/?sig=abc&a=1"],
    }  # fmt: skip
    assert shown_response_headers(given, HIDING) == {
        "Content-Type": ["text/plain"], "OpenAI-Organization": ["[REDACTED:openai-organization]"],
        "openai-project": ["[REDACTED:openai-project]"], "x-ratelimit-remaining-tokens": ["17"],
        "x-request-id": ["r"], "www-authenticate": ["Basic"],
        "x-auth-token": ["[REDACTED:x-auth-token]"], "x-debug": ["[REDACTED:door]", "b"],
        "location": ["http://h/?sig=[REDACTED:sig]&a=1"],
    }  # fmt: skip
    assert shown_response_headers(given, HIDING, keep=["set-cookie"])["Set-Cookie"] == ["a=b"]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://h", "http://h"),
        ("http://ada:pw@h:80/a", "http://h:80/a"),
        ("http://[::1]:80/a?b=1", "http://[::1]:80/a?b=1"),
        ("http://h/sesame99/a%20b?c=sesame99&d=", "http://h/[REDACTED:door]/a%20b?c=[REDACTED:door]&d="),
        ("http://h/?token=a&access_token=b&API-Key=c", "http://h/?token=[REDACTED:token]&access_token=[REDACTED:access_token]&API-Key=[REDACTED:API-Key]"),
        ("http://h/?X-Amz-Signature=a&X-Amz-Date=b", "http://h/?X-Amz-Signature=[REDACTED:X-Amz-Signature]&X-Amz-Date=b"),
        ("http://h/?key=a&page_token=b&keyword=c", "http://h/?key=a&page_token=b&keyword=c"),
        ("https://x.googleapis.com/v1?key=a", "https://x.googleapis.com/v1?key=[REDACTED:key]"),
        ("http://h/a#fragment", "http://h/a"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_secrets_and_stays_as_shown(uri, shown):
    assert shown_uri(uri, HIDING) == shown
    assert shown_uri(shown, HIDING) == shown


@pytest.mark.parametrize(
    ("uri", "headers", "found"),
    [
        ("http://h", {"Authorization": "Bearer abc-12345"}, {"authorization": "abc-12345"}),
        ("http://h", {"authorization": b"abc-12345"}, {"authorization": "abc-12345"}),
        (
            "http://h",
            {"authorization": "Basic " + base64.b64encode(b"ada:pass-1234").decode()},
            {"authorization": "YWRhOnBhc3MtMTIzNA==", "authorization-2": "pass-1234"},
        ),
        ("http://h", {"Cookie": "a=1; session=s3ss10n-id"}, {"cookie": "s3ss10n-id"}),
        ("http://h", {"x-api-key": "not-needed"}, {}),
        ("http://h", {"x-api-key": "short-1"}, {}),
        ("http://h", {"accept": "abc-12345"}, {}),
        ("http://u:p%20ss-1234@h/", {}, {"password": "p ss-1234"}),
        ("http://h/?sig=abc-12345&q=abc-99999", {}, {"sig": "abc-12345"}),
        ("http://h/?token=abc-12345", {"x-api-key": "abc-12345"}, {"x-api-key": "abc-12345"}),
        ("http://h", {"authorization": "Basic abc-12345"}, {"authorization": "abc-12345"}),
    ],
)  # fmt: skip
def test_what_a_request_proves_its_right_with_is_found(uri, headers, found):
    assert credentials(uri, headers) == found

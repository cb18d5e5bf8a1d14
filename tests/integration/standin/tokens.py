"""The brokers' check of an MSK token: signature, key and time, by AWS's rules for signed URLs (Signature Version 4)."""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit


def check_token(token: str, keys: Mapping[str, str], *, region: str = "us-east-1") -> str:
    """Check a token.

    Args:
        token: As the client sent it.
        keys: Secret keys by access key.
        region: Of the brokers.

    Returns:
        The access key that signed it.

    Raises:
        PermissionError: It is not good; says why.
    """
    url = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    access_key, date, where, service, _ = query["X-Amz-Credential"].split("/")
    if (url.hostname, where, service) != (f"kafka.{region}.amazonaws.com", region, "kafka-cluster"):
        raise PermissionError("the token is for somewhere else")
    if query.get("Action") != "kafka-cluster:Connect":
        raise PermissionError("the token is for something else")
    if access_key not in keys:
        raise PermissionError("[key] The security token included in the request is invalid")
    begins = calendar.timegm(time.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
    if not begins - 300 <= time.time() <= begins + int(query["X-Amz-Expires"]):
        raise PermissionError("the token has expired")
    # The user agent is added after the signing.
    signed = {name: value for name, value in query.items() if name not in {"X-Amz-Signature", "User-Agent"}}
    canonical_query = "&".join(f"{quote(name, safe='')}={quote(signed[name], safe='-_.~')}" for name in sorted(signed))
    empty = hashlib.sha256(b"").hexdigest()
    canonical = "\n".join(["GET", "/", canonical_query, f"host:{url.hostname}", "", "host", empty])
    scope = f"{date}/{where}/{service}/aws4_request"
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{keys[access_key]}".encode()
    for part in (date, where, service, "aws4_request", to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(key.hex(), query["X-Amz-Signature"]):
        raise PermissionError("the signature of the token is wrong")
    return access_key

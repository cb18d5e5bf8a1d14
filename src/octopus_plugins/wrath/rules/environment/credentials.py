"""Rules for `credentials_rejected`: services that refuse who asks, for which no time helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import Match, Rule, Scalar, Trust, errno_of, place, quote
from octopus_plugins.wrath.rules.statements import stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

REFUSED_STATUS = frozenset({401, 403, 407, 511})
"""Statuses of HTTP that say: not you."""

_KEY_ERRNO = {126: "ENOKEY", 127: "EKEYEXPIRED", 128: "EKEYREVOKED", 129: "EKEYREJECTED"}

REFUSED_CODES = Phrases(
    r"expired_?token",
    r"token_?expired",
    r"invalid_?(?:access_?key|client_?token|token|grant|credential|security|identity)",
    r"access_?denied",
    r"unauthori[sz]ed",
    r"unauthenticated",
    r"signature_?does_?not_?match",
    r"auth_?failure",
    r"request_?expired",
    r"permission_?denied",
    r"forbidden",
    r"missing_?authentication",
    r"unrecognized_?client",
    r"account_?(?:disabled|suspended)",
    r"authentication_?(?:failed|required)",
    r"consent_?required",
    r"all_?access_?disabled",
    r"not_?signed_?up",
    r"token_?refresh",
)
_NOT_OFREFUSAL = Phrases(
    r"unexpected token",
    r"invalid token (?:at|in|')",
    r"not well-formed",
    r"tokeniz",
    r"tunnel connection failed",
    r"proxy ?error",
    r"time(?:out|d out)? (?:has )?expired",
    r"operation expired",
    r"lease expired",
    r"invalid syntax",
    r"max_?tokens",
    r"token (?:id|limit|count)",
)
REFUSAL = Phrases(
    r"\b(?:alert )?certificate required\b",
    r"\bcould not read (?:username|password)\b",
    r"\b(?:HTTP(?:S|/\d(?:\.\d)?)?|status[ _-]?code|response(?:[ _-]?code)?|http[ _-]?status|returned error)"
    r"(?:\s(?:was|is|error|status|code))*\W{0,6}40[13]\b",
    r"\b40[13]\W{1,3}(?:client error|unauthori[sz]ed|forbidden|error)",
    r"\bunauthori[sz]ed\b",
    r"\bnot authori[sz]ed to (?:perform|access)\b",
    r"\bunauthenticated\b",
    r"\baccess ?denied\b(?! for (?:file|path))",
    r"\b(?:access|refresh|id|security|session|bearer|auth(?:entication)?|oauth2?|sas|api|login|provided)[ _-]token\b"
    r"[^\n]{0,60}\b(?:expired|invalid|revoked|not valid|missing|rejected|inactive|required)\b",
    r"\btoken (?:has )?(?:expired|been revoked)\b",
    r"\btoken (?:is |was )?(?:expired|revoked)\b",
    r"\b(?:invalid|expired|revoked|bad)(?: \w+)? (?:access token|refresh token|auth token|api token|bearer token"
    r"|credentials?"
    r"|api[ _-]?key)\b",
    r"\bexpired (?:\w+ )?token\b",
    r"\b(?:api|access|ssh|signing|private)[ _-]?key\b[^\n]{0,60}\b(?:expired|invalid|revoked|not valid|rejected"
    r"|incorrect)\b",
    r"\bcredentials?\b[^\n]{0,60}\b(?:expired|invalid|not found|missing|rejected|refused|not provided|not available)\b",
    r"\bcredentials? (?:could not|cannot) be\b",
    r"\b(?:unable to (?:locate|find|load|get|obtain|refresh)|could not (?:find|load|automatically determine|refresh"
    r"|obtain)"
    r"|failed to (?:load|get|refresh|obtain|retrieve)|no valid)\b[^\n]{0,30}\bcredentials?\b",
    r"\bauthentication\b[^\n]{0,20}\b(?:failed|failure|error|required|rejected|expired|unsuccessful)\b",
    r"\bfailed to authenticate\b",
    r"\bcould not authenticate\b",
    r"\bauthori[sz]ation (?:failed|required|error|denied)\b",
    r"\blog ?in (?:is )?(?:required|failed|incorrect|expired)\b",
    r"\bnot logged in\b",
    r"\bplease (?:log ?in|authenticate|re-?authenticate)\b",
    r"\bmust be authenticated\b",
    r"\bpassword authentication failed\b",
    r"\bpermission denied \((?:publickey|gssapi|password|keyboard)",
    r"\bhost key verification failed\b",
    r"\bInvalidAccessKeyId\b",
    r"\bSignatureDoesNotMatch\b",
    r"\binvalid_grant\b",
    r"\bExpiredToken\b",
    r"\bTokenRefreshRequired\b",
    r"\b(?:required key not available|key has (?:expired|been revoked)|key was rejected by service)\b",
    r"\b(?:kerberos|krb5|gssapi|gss|gsi|afs|voms|x509|x\.509|grid proxy|user proxy|client certificate)\b[^\n]{0,100}"
    r"\b(?:expired|no credentials|not found|credentials? cache|not valid|authentication failed)",
    r"\bticket (?:has )?expired\b",
    r"\bno (?:kerberos )?credentials cache\b",
    r"\b(?:proxy|certificate|cert)\b[^\n]{0,40}\b(?:has |is |have )?expired\b",
    r"\bNOAUTH\b",
    r"\bWRONGPASS\b",
    r"\baccess to model\b[^\n]{0,80}\brestricted\b",
    r"\bgated repo\b",
    r"\bconsent ?required\b",
    r"\bPERMISSION_DENIED\b",
    r"\blicen[sc]e\b[^\n]{0,60}\b(?:has )?expired\b",
    unless=_NOT_OFREFUSAL,
)


def refused(failure: Failure, evidence: Mapping[str, Scalar]) -> Match:
    """The finding that a service refused who asked, on some evidence."""
    reason = f"a service refuses the credentials{place(failure)}: {quote(failure.exception)}"
    return Match(reason, dict(evidence), 0.85, category=Category.credentials_rejected)


def _key(failure: Failure, history: History | None) -> Match | None:
    number = errno_of(failure)
    if number not in _KEY_ERRNO:
        return None
    return refused(failure, {"errno": _KEY_ERRNO[number], "subject": failure.exception.attributes.get("filename")})


_CREDENTIAL_TYPES = (
    "botocore.exceptions.NoCredentialsError",
    "botocore.exceptions.PartialCredentialsError",
    "botocore.exceptions.CredentialRetrievalError",
    "botocore.exceptions.TokenRetrievalError",
    "botocore.exceptions.SSOTokenLoadError",
    "botocore.exceptions.UnauthorizedSSOTokenError",
    "google.auth.exceptions.DefaultCredentialsError",
    "google.auth.exceptions.RefreshError",
    "azure.core.exceptions.ClientAuthenticationError",
    "globus_sdk.services.auth.errors.AuthAPIError",
    "paramiko.ssh_exception.AuthenticationException",
    "gssapi.raw.misc.GSSError",
    "huggingface_hub.errors.GatedRepoError",
    "huggingface_hub.utils._errors.GatedRepoError",
    "redis.exceptions.AuthenticationError",
    "psycopg.errors.InvalidPassword",
)


def _refused_by_type(failure: Failure, history: History | None) -> Match:
    return refused(failure, {"exception": failure.exception.type})


RULES = (
    Rule(
        "credentials_rejected.type",
        Category.credentials_rejected,
        Trust.exact_type,
        _refused_by_type,
        types=_CREDENTIAL_TYPES,
        doc="the credential errors of botocore, google-auth, azure, paramiko, GSSAPI, redis, …",
    ),
    Rule(
        "credentials_rejected.errno",
        Category.credentials_rejected,
        Trust.exact_type,
        _key,
        types=("OSError",),
        doc="`OSError` with `ENOKEY`, `EKEYEXPIRED`, `EKEYREVOKED`, `EKEYREJECTED`",
    ),
    stated(
        "credentials_rejected.text",
        Category.credentials_rejected,
        "a service refuses the credentials",
        REFUSAL,
        confidence=0.65,
        doc="`401 Unauthorized`, `token has expired`, `Permission denied (publickey)`, `Required key not available`, …",
    ),
)

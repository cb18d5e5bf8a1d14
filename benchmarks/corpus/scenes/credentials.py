"""Services and the kernel's keyring refuse who asks: tokens, keys and certificates are missing, wrong or expired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.corpus.answers import Answer, ServiceCases
from benchmarks.corpus.cases import Scene
from octopus_plugins.wrath import Category

CASES = ServiceCases()
REFUSED = Category.credentials_rejected
SCRATCH = "{scratch}"
BEARER = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
XML, JSON = {"Content-Type": "application/xml"}, {"Content-Type": "application/json"}


@CASES.asks(REFUSED, Answer(401, headers=BEARER))
def urllib_unauthorized(address: str) -> Any:
    """Fetches with urllib and no token; the service answers 401."""
    import urllib.request

    return urllib.request.urlopen(f"{address}/v1/structures", timeout=5).read()


@CASES.asks(REFUSED, Answer(403))
def requests_forbidden(address: str) -> Any:
    """Fetches with requests and a token that the service does not accept; it answers 403."""
    import requests

    answer = requests.get(f"{address}/v1/structures", headers={"Authorization": "Bearer old"}, timeout=5)
    answer.raise_for_status()
    return answer.json()


@CASES.asks(REFUSED, Answer(401, headers=BEARER))
def wrapped_unauthorized(address: str) -> Any:
    """The status 401 below the exception of a library."""
    import requests

    try:
        requests.get(f"{address}/weights", timeout=5).raise_for_status()
    except requests.HTTPError as error:
        raise OSError("the gated model could not be downloaded") from error


def _amazon(service: str, address: str, **keys: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.session.Session(region_name="us-east-1", **keys).client(
        service, endpoint_url=address, config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
    )


KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}


@CASES.asks(
    REFUSED,
    Answer(400, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>", XML),
)
def s3_expired_token(address: str) -> Any:
    """Reads an object with boto3 and a session token that has expired."""
    return _amazon("s3", address, aws_session_token="old", **KEYS).get_object(Bucket="runs", Key="input.h5")


@CASES.asks(
    REFUSED,
    Answer(
        403,
        "<Error><Code>InvalidAccessKeyId</Code>"
        "<Message>The AWS Access Key Id you provided does not exist in our records.</Message></Error>",
        XML,
    ),
)
def s3_unknown_key(address: str) -> Any:
    """Writes an object with boto3 and a key that the storage does not know."""
    return _amazon("s3", address, **KEYS).put_object(Bucket="runs", Key="out.h5", Body=b"x")


@CASES.asks(REFUSED, Answer(200))
def s3_without_keys(address: str) -> Any:
    """Reads an object with boto3 where no keys are configured at all."""
    import os

    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    os.environ.update(
        AWS_EC2_METADATA_DISABLED="true", AWS_SHARED_CREDENTIALS_FILE="/no/such/file", AWS_CONFIG_FILE="/no/such/file"
    )
    try:
        return _amazon("s3", address).get_object(Bucket="runs", Key="input.h5")
    finally:
        for name in ("AWS_EC2_METADATA_DISABLED", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            del os.environ[name]
        os.environ.update(hidden)


@CASES.asks(
    REFUSED, Answer(401, '{"code": "AuthenticationFailed", "message": "Token is not active", "request_id": "7"}', JSON)
)
def globus_transfer_token_expired(address: str) -> Any:
    """Asks Globus Transfer with an access token that is no longer active."""
    import globus_sdk

    client = globus_sdk.TransferClient(
        base_url=address,
        authorizer=globus_sdk.AccessTokenAuthorizer("old"),
        retry_config=globus_sdk.transport.RetryConfig(max_retries=0),
    )
    return client.get_task("9d4c1b1e-0000-4000-8000-000000000007")


@CASES.asks(REFUSED, Answer(400, '{"error": "invalid_grant"}', JSON), structured=False)
def globus_refresh_token_revoked(address: str) -> Any:
    """Refreshes a Globus token with a refresh token that was revoked."""
    import globus_sdk

    client = globus_sdk.NativeAppAuthClient("9d4c1b1e-0000-4000-8000-000000000007", base_url=address)
    return client.oauth2_refresh_token("revoked")


@CASES.python(REFUSED)
def web_token_expired() -> Any:
    """Checks a signed JSON web token that expired a minute ago, with PyJWT."""
    import time

    import jwt

    secret = "0123456789abcdef0123456789abcdef"
    token = jwt.encode({"sub": "run-7", "exp": time.time() - 60}, secret, "HS256")
    return jwt.decode(token, secret, ["HS256"])


def _keyring(*arguments: Any) -> int:
    import ctypes
    import os

    words = [word.encode() if isinstance(word, str) else word for word in arguments]
    result = int(ctypes.CDLL(None, use_errno=True).syscall(*words))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


ADD_KEY, REQUEST_KEY, KEYCTL = 248, 249, 250  # system calls of x86-64
PROCESS_KEYRING = -2
REVOKE, READ, SET_TIMEOUT = 3, 11, 15  # operations of keyctl(2)


@CASES.python(REFUSED)
def key_missing() -> Any:
    """Asks the kernel's keyring for a key that it does not have: ENOKEY."""
    return _keyring(REQUEST_KEY, "user", "octopus:absent", None, 0)


@CASES.python(REFUSED)
def key_expired() -> Any:
    """Reads a key of the kernel's keyring after its time: EKEYEXPIRED."""
    import time

    key = _keyring(ADD_KEY, "user", "octopus:old", "secret", 6, PROCESS_KEYRING)
    _keyring(KEYCTL, SET_TIMEOUT, key, 1)
    time.sleep(2)
    return _keyring(KEYCTL, READ, key, None, 0)


@CASES.python(REFUSED)
def key_revoked() -> Any:
    """Reads a key of the kernel's keyring that was revoked: EKEYREVOKED."""
    key = _keyring(ADD_KEY, "user", "octopus:revoked", "secret", 6, PROCESS_KEYRING)
    _keyring(KEYCTL, REVOKE, key)
    return _keyring(KEYCTL, READ, key, None, 0)


def _certificate(directory: Path, name: str) -> tuple[Path, Path]:
    import subprocess

    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@CASES.python(REFUSED, SCRATCH)
def client_certificate_missing(scratch: str) -> Any:
    """Reads over TLS from a service that demands a client's certificate, without one."""
    import socket
    import ssl
    import threading

    certificate, key = _certificate(Path(scratch), "service")
    service = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    service.load_cert_chain(certificate, key)
    service.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            service.wrap_socket(connection, server_side=True)
        except ssl.SSLError:
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    client = ssl.create_default_context(cafile=str(certificate))
    with (
        socket.create_connection(listener.getsockname(), timeout=5) as plain,
        client.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        return connection.recv(1)


CASES.program_asks("curl_unauthorized", REFUSED, Answer(401, headers=BEARER), "curl -fsS {address}/x -o /dev/null")
CASES.program_asks("curl_forbidden", REFUSED, Answer(403), "curl -fsS {address}/x -o /dev/null")
CASES.program_asks(
    "wget_unauthorized",
    REFUSED,
    Answer(401, headers={"WWW-Authenticate": 'Basic realm="data"'}),
    "wget -t 1 --user=me --password=old {address}/x -O /dev/null",
)
CASES.program_asks("wget_forbidden", REFUSED, Answer(403), "wget -nv -t 1 {address}/x -O /dev/null")
CASES.program_asks(
    "git_clone_without_password",
    REFUSED,
    Answer(401, headers={"WWW-Authenticate": 'Basic realm="code"'}),
    "GIT_TERMINAL_PROMPT=0 git clone {address}/private.git {scratch}/private",
)
CASES.bash("keyring_program", REFUSED, "keyctl request user octopus:absent", made="needs keyutils")


@CASES.workflow(REFUSED, structured=False)
def ssh_key_refused(lab: Any) -> Any:
    """Bash app: ssh to a real server on the loopback interface (openssh-server) that does not know the user's key."""
    import os
    import subprocess

    home = lab.scratch / "ssh"
    home.mkdir(mode=0o700)
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True)
    port = _free_port()
    options = [f"Port={port}", "ListenAddress=127.0.0.1", f"HostKey={home}/host", "AuthorizedKeysFile=none"]
    options += ["PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "UsePAM=no", "PidFile=none"]
    server = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-f", os.devnull, *(word for option in options for word in ("-o", option))],
        stderr=subprocess.DEVNULL,
    )
    _wait_for(port)
    future = lab.bash(
        "ssh_key_refused",
        f"ssh -F none -i {home}/user -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no"
        f" -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -p {port} 127.0.0.1 hostname",
    )

    def stop(_: Any) -> None:
        server.terminate()
        server.wait()

    future.add_done_callback(stop)
    return future


def _free_port() -> int:
    import socket

    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return int(reserved.getsockname()[1])


def _wait_for(port: int) -> None:
    import socket
    import time

    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


SCENES = [Scene("credentials", CASES)]

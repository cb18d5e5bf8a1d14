"""Services that are overloaded, throttle or are down."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.answers import Answer, ServiceCases
from benchmarks.corpus.cases import Scene
from octopus_plugins.wrath import Category

CASES = ServiceCases()
AWAY = Category.service_unavailable
LATER = {"Retry-After": "30"}
XML, AMAZON_JSON, JSON = "application/xml", "application/x-amz-json-1.0", "application/json"


@CASES.asks(AWAY, Answer(429, headers=LATER))
def urllib_too_many_requests(address: str) -> Any:
    """Fetches with urllib; the service answers 429 with Retry-After."""
    import urllib.request

    return urllib.request.urlopen(f"{address}/v1/structures", timeout=5).read()


@CASES.asks(AWAY, Answer(500))
def urllib_internal_error(address: str) -> Any:
    """Fetches with urllib; the service answers 500."""
    import urllib.request

    return urllib.request.urlopen(f"{address}/v1/structures", timeout=5).read()


@CASES.asks(AWAY, Answer(503, headers=LATER))
def requests_service_unavailable(address: str) -> Any:
    """Fetches with requests; the service answers 503 with Retry-After."""
    import requests

    answer = requests.get(f"{address}/v1/forecast", timeout=5)
    answer.raise_for_status()
    return answer.json()


@CASES.asks(AWAY, Answer(504))
def requests_gateway_timeout(address: str) -> Any:
    """Posts with requests; the gateway answers 504."""
    import requests

    answer = requests.post(f"{address}/v1/jobs", json={"cell": 7}, timeout=5)
    answer.raise_for_status()
    return answer.json()


@CASES.asks(AWAY, Answer(503), structured=False)
def requests_retries_exhausted(address: str) -> Any:
    """Fetches with a requests session that retries on 503 until its retries are used up."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(2, status_forcelist=[502, 503], backoff_factor=0.01)))
        return session.get(f"{address}/v1/forecast", timeout=5)


@CASES.asks(AWAY, Answer(429), structured=False)
def urllib3_retries_exhausted(address: str) -> Any:
    """Fetches with urllib3, which retries on 429 until its retries are used up."""
    import urllib3

    return urllib3.PoolManager().request("GET", address, retries=urllib3.Retry(2, status_forcelist=[429]))


@CASES.asks(AWAY, Answer(502))
def wrapped_bad_gateway(address: str) -> Any:
    """The status 502 below the exception of a library."""
    import urllib.error
    import urllib.request

    try:
        return urllib.request.urlopen(f"{address}/mesh", timeout=5).read()
    except urllib.error.HTTPError as error:
        raise RuntimeError("the mesh could not be staged in") from error


@CASES.asks(AWAY, Answer(503), structured=False)
def status_in_words(address: str) -> Any:
    """The task looks at the status 503 itself and reports it in an exception's words."""
    import requests

    answer = requests.get(f"{address}/v1/models", timeout=5)
    if not answer.ok:
        raise RuntimeError(f"inference server returned HTTP {answer.status_code} {answer.reason}")
    return answer.json()


def _amazon(service: str, address: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.session.Session("key", "secret", region_name="us-east-1").client(
        service, endpoint_url=address, config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
    )


@CASES.asks(
    AWAY,
    Answer(
        503,
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
        {"Content-Type": XML},
    ),
)
def s3_slow_down(address: str) -> Any:
    """Reads an object with boto3; the storage answers SlowDown."""
    return _amazon("s3", address).get_object(Bucket="runs", Key="input.h5")


@CASES.asks(
    AWAY,
    Answer(
        400,
        '{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",'
        ' "message": "The level of configured provisioned throughput for the table was exceeded."}',
        {"Content-Type": AMAZON_JSON},
    ),
)
def dynamodb_throttles(address: str) -> Any:
    """Reads an item with boto3; the database throttles with the status 400."""
    return _amazon("dynamodb", address).get_item(TableName="cells", Key={"id": {"S": "7"}})


@CASES.asks(
    AWAY,
    Answer(
        503, '{"code": "ServiceUnavailable", "message": "Under maintenance", "request_id": "7"}', {"Content-Type": JSON}
    ),
)
def globus_transfer_unavailable(address: str) -> Any:
    """Asks Globus Transfer for a task with Globus' SDK; the service answers 503."""
    import globus_sdk

    client = globus_sdk.TransferClient(
        base_url=address,
        authorizer=globus_sdk.AccessTokenAuthorizer("x"),
        retry_config=globus_sdk.transport.RetryConfig(max_retries=0),
    )
    return client.get_task("9d4c1b1e-0000-4000-8000-000000000007")


CASES.program_asks("curl_service_unavailable", AWAY, Answer(503), "curl -fsS {address}/table.csv -o /dev/null")
CASES.program_asks("curl_too_many_requests", AWAY, Answer(429), "curl --fail -sS {address}/table.csv -o /dev/null")
CASES.program_asks("wget_too_many_requests", AWAY, Answer(429), "wget -nv -t 1 {address}/table.csv -O /dev/null")
CASES.program_asks("wget_internal_error", AWAY, Answer(500), "wget -t 1 {address}/table.csv -O /dev/null")
CASES.program_asks(
    "git_clone_unavailable", AWAY, Answer(503), "git clone {address}/potentials.git {scratch}/potentials"
)
CASES.program_asks(
    "python_program_bad_gateway",
    AWAY,
    Answer(502),
    "python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1])' {address}/table.csv",
)

SCENES = [Scene("services", CASES)]

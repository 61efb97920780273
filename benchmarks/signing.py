"""The cost of a signed request: Signature Version 4, beside botocore's.

    python -m benchmarks.signing

CPU microseconds for each request of 2 KiB, with a session token; the median of several passes. The
goal is at most 100.
"""

import time
from collections.abc import Callable
from importlib import import_module
from statistics import median
from typing import Any

from benchmarks.decode import judge
from benchmarks.rounds import Table
from tokenwire.protocols.auth import AwsKey, SigV4
from tokenwire.protocols.toolkit.http import Request

__all__ = ["run"]

KEY = AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "t" * 600, "us-east-1")
URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v1%3A0/converse"
BODY = b"x" * 2048


def by_tokenwire() -> Callable[[], object]:
    """`SigV4.sign`, as an exchange calls it."""
    request = Request("POST", URL, [(b"content-type", b"application/json")], BODY)
    auth = SigV4("bedrock")
    return lambda: auth.sign(request, KEY, lambda: 1767323045.0)


def by_botocore() -> Callable[[], object]:
    """`SigV4Auth.add_auth`, with the request that it changes."""
    auth: Any = import_module("botocore.auth")
    requests: Any = import_module("botocore.awsrequest")
    credentials = import_module("botocore.credentials").Credentials(KEY.id, KEY.secret, KEY.token)
    signer = auth.SigV4Auth(credentials, "bedrock", "us-east-1")

    def sign() -> object:
        headers = {"content-type": "application/json"}
        return signer.add_auth(requests.AWSRequest("POST", URL, headers, BODY))

    return sign


def run(passes: int = 15, requests: int = 1000) -> Table:
    """The table."""
    found: dict[str, list[object]] = {}
    for name, make in (("tokenwire", by_tokenwire), ("botocore", by_botocore)):
        sign = make()
        times: list[float] = []
        for _ in range(passes):
            start = time.process_time()
            for _ in range(requests):
                sign()
            times.append((time.process_time() - start) / requests * 1e6)
        taken = median(times)
        found[name] = judge(taken, 100, True) if name == "tokenwire" else ["", taken, ""]
    return Table("Signing a request, CPU µs", ("goal", "measured", ""), found)


if __name__ == "__main__":
    print(run())

"""A place for a cassette, and the clients in turn."""

import pytest

from tests.replay.http.clients import CLIENTS, OpenAIClient


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cassettes" / "fruit.yaml"


@pytest.fixture(params=CLIENTS.values(), ids=CLIENTS)
def client(request):
    return request.param


@pytest.fixture(
    params=[(False, False), (False, True), (True, False), (True, True)],
    ids=["sync", "sync stream", "async", "async stream"],
)
def sdk(request):
    asynchronous, stream = request.param
    return OpenAIClient(asynchronous=asynchronous, stream=stream)

"""Two small models that answer from a list, one for each kind of loop."""

import pytest


class Model:
    """Answers in turn; an exception is raised. Counts what it was really asked."""

    model = "scripted-1"

    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []
        self.last_usage = None
        self.last_stop_reason = None

    def _answer(self, prompt):
        self.asked.append(prompt)
        reply = self.replies[len(self.asked) - 1]
        if isinstance(reply, BaseException):
            raise reply
        self.last_usage = {"input_tokens": len(prompt), "output_tokens": len(self.asked)}
        self.last_stop_reason = "end_turn"
        return reply

    def generate(
        self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2, messages=None
    ):
        return self._answer(prompt)


class ToolModel(Model):
    def generate_with_tools(
        self, prompt, *, tools, max_tokens=2000, system_prompt="", temperature=0.2, messages=None
    ):
        return self._answer(prompt)


class AsyncModel(Model):
    async def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        return self._answer(prompt)

    async def generate_with_tools(self, prompt, *, tools, max_tokens=2000, system_prompt=""):
        return self._answer(prompt)


@pytest.fixture
def model():
    return Model


@pytest.fixture
def tool_model():
    return ToolModel


@pytest.fixture
def async_model():
    return AsyncModel


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.yaml"

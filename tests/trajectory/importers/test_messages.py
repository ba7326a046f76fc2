"""Chat messages as files: OpenAI's form and Anthropic's, in every arrangement."""

from __future__ import annotations

import json

import pytest

SYSTEM = {"role": "system", "content": "Sell fruit."}
HELLO = {"role": "user", "content": "What is a pear, and a fig?"}
BYE = {"role": "assistant", "content": "0.55, and 0.2."}
LOOK = {"type": "function", "function": {"name": "price", "parameters": {"type": "object"}}}
SCHEMA = {"name": "price", "description": "A price.", "input_schema": {"type": "object"}}


def call(fruit, call_id):
    function = {"name": "price", "arguments": json.dumps({"fruit": fruit})}
    return {"id": call_id, "type": "function", "function": function}


def use(fruit, call_id):
    return {"type": "tool_use", "id": call_id, "name": "price", "input": {"fruit": fruit}}


def result(content, call_id, **more):
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


OPENAI = [
    SYSTEM,
    HELLO,
    {"role": "assistant", "content": None, "tool_calls": [call("pear", "a"), call("fig", "b")]},
    {"role": "tool", "tool_call_id": "b", "content": "0.2"},
    {"role": "tool", "tool_call_id": "a", "content": "0.55"},
    BYE,
]
ANTHROPIC = [
    HELLO,
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Two.", "signature": "s"},
            use("pear", "a"),
            use("fig", "b"),
        ],
    },
    {
        "role": "user",
        "content": [result("0.2", "b"), result([{"type": "text", "text": "0.55"}], "a")],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "0.55, and 0.2."}]},
]  # fmt: skip
FORMS = {"openai-messages": OPENAI, "anthropic-messages": ANTHROPIC}


def lines(values):
    return "".join(json.dumps(each) + "\n" for each in values)


ARRANGED = {
    "messages": lambda one: (one, 1),
    "a message a line": lambda one: (lines(one), 1),
    "an object": lambda one: ({"messages": one}, 1),
    "an object a line": lambda one: (lines([{"messages": one}] * 3), 3),
    "objects": lambda one: ([{"messages": one}, {"messages": one}], 2),
    "lists": lambda one: ([one, one], 2),
}


@pytest.mark.parametrize("arranged", ARRANGED)
@pytest.mark.parametrize("form", FORMS)
def test_conversations_are_known_and_read_in_every_arrangement(form, arranged, write, read, stored):
    value, count = ARRANGED[arranged](FORMS[form])
    found = read(write(value))
    assert (found.problems, len(found.runs)) == ([], count)
    assert len({run.trajectory_id for run in found.runs}) == count
    for run in stored(found.runs):
        assert run.source_format == form
        assert [step.tool_call.args["fruit"] for step in run.steps] == ["pear", "fig"]
        assert [step.tool_result.data for step in run.steps] == ["0.55", "0.2"]
        assert [step.tool_call.call_id for step in run.steps] == ["a", "b"]
        assert [step.llm_call_indices for step in run.steps] == [[0], [0]]
        assert run.final_output == "0.55, and 0.2."
        assert run.task == {"prompt": HELLO["content"]}
        assert len(run.llm_calls) == 2
        assert (run.reward, run.stop_reason, run.input_tokens) == (None, None, None)


def test_what_stands_beside_the_messages_is_kept(write, read):
    about = {
        "model": "m", "reward": 0.5, "task_id": 7, "tags": ["a"], "label": "good",
        "expected": {"n": 1}, "trial": "second", "parallel_tool_calls": False,
    }  # fmt: skip
    run = read(write({"messages": OPENAI, "tools": [LOOK], **about})).run
    assert (run.model, run.reward, run.task_id, run.tags) == ("m", 0.5, "7", ["a"])
    assert run.expected == {"n": 1}
    assert run.metadata == {"label": "good", "trial": "second", "parallel_tool_calls": False}
    assert [each.tools for each in run.llm_calls] == [[LOOK], [LOOK]]
    assert read(write({"messages": OPENAI, "score": 2, "reward": "high"})).run.reward == 2.0
    beside = read(write({"messages": ANTHROPIC, "tools": [SCHEMA], "system": "Sell.", **about})).run
    assert (beside.llm_calls[0].system_prompt, beside.llm_calls[0].tools) == ("Sell.", [SCHEMA])
    assert (beside.source_format, beside.reward) == ("anthropic-messages", 0.5)


def test_openais_older_and_rarer_forms_are_read(write, read):
    asks = {"name": "price", "arguments": '{"fruit": "pear"}'}
    custom = {"id": "c", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}
    parts = [{"type": "text", "text": "See."}, {"type": "image_url", "image_url": {"url": "x"}}]
    messages = [
        {"role": "developer", "content": "Sell fruit.", "name": "desk"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "function_call": asks, "weight": 0},
        {"role": "function", "name": "price", "content": "0.55"},
        {"role": "assistant", "content": "", "tool_calls": [custom]},
        {"role": "tool", "tool_call_id": "z", "name": "lost", "content": "?"},
        {"role": "assistant", "content": None, "refusal": "I may not."},
    ]
    run = read(write({"messages": messages, "functions": [{"name": "price"}]})).run
    price, shell, lost = run.steps
    assert (price.tool_call.args, price.tool_result.data) == ({"fruit": "pear"}, "0.55")
    assert shell.tool_call.args == {"_raw_arguments": "ls -l"}
    assert "no result" in shell.tool_result.warnings[0]
    assert (lost.tool_call.tool, lost.tool_result.data) == ("lost", "?")
    assert "no call" in lost.tool_result.warnings[0]
    assert run.final_output == "I may not."
    assert run.llm_calls[0].system_prompt == "Sell fruit."
    assert run.llm_calls[0].metadata == {"weight": 0}
    assert run.llm_calls[0].messages[1].blocks == tuple(parts)
    assert run.llm_calls[2].metadata == {"refusal": "I may not."}
    assert run.llm_calls[0].tools == [{"type": "function", "function": {"name": "price"}}]
    assert run.metadata["message_extras"]["0"] == {"name": "desk", "role": "developer"}


def test_anthropics_errors_thoughts_and_replies_of_the_api_are_read(write, read):
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2}
    reply = {
        "role": "assistant", "type": "message", "id": "m1", "model": "m", "stop_reason": "tool_use",
        "usage": usage,
        "content": [{"type": "thinking", "thinking": "Hm."}, use("pear", "a"), use("fig", "b")],
    }  # fmt: skip
    image = [{"type": "image", "source": {"type": "url", "url": "x"}}]
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Go."}]},
        reply,
        {
            "role": "user",
            "content": [
                result("gone", "a", is_error=True),
                result(image, "b"),
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    run = read(write(messages)).run
    failed, shown = run.steps
    assert (failed.tool_result.error, failed.tool_result.data) == ("gone", None)
    assert shown.tool_result.data == image
    assert failed.tool_call.reasoning == "Hm."
    (asked,) = run.llm_calls
    assert (asked.model, asked.input_tokens, asked.cached_tokens) == ("m", 7, 4)
    assert (asked.output_tokens, asked.finish_reason) == (2, "tool_use")
    assert asked.response[0] == {"type": "thinking", "thinking": "Hm."}
    assert [each["role"] for each in run.metadata["messages_after_last_call"]] == [
        "tool", "tool", "user",
    ]  # fmt: skip
    assert (run.task, run.final_output) == ({"prompt": "Go."}, None)


def test_a_malformed_conversation_is_told_with_its_place_and_the_rest_imported(write, read):
    broken = [HELLO, {"role": "oracle", "content": "?"}]
    found = read(write(lines([{"messages": OPENAI}, {"messages": broken}, {"messages": OPENAI}])))
    assert len(found.runs) == 2
    assert found.told == ["line 2.messages[1].role: is not a role: 'oracle'"]
    whole = read(write(lines([HELLO, {"role": "user", "content": 3}, BYE])))
    assert (whole.runs, whole.told) == ([], ["line 2.content: is not a list: 3"])
    cut = read(write(json.dumps(OPENAI)[:-20]))
    assert [len(run.steps) for run in cut.runs] == [2]
    assert cut.problems[0].place == "$[5]"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_is_cut_is_told_and_the_others_are_imported(place, write, read):
    each = [json.dumps({"messages": OPENAI}) for _ in range(3)]
    each[place] = each[place][:40]
    found = read(write("\n".join(each)))
    assert len(found.runs) == 2
    assert [text.split(":")[0] for text in found.told] == [f"line {place + 1}"]


def test_texts_alone_are_openais_and_what_is_no_conversation_is_none(write, read):
    assert read(write([HELLO, BYE])).run.source_format == "openai-messages"
    mixed = lines([{"messages": [HELLO, BYE]}, {"messages": ANTHROPIC}])
    assert {run.source_format for run in read(write(mixed)).runs} == {"anthropic-messages"}
    for value in ({"messages": []}, {"messages": ["hi"]}, [], [{"role": 3}], {"role": "user"}):
        assert "no format knows it" in read(write(value)).told[0]


def test_the_last_call_of_a_run_of_looplets_is_its_answer(write, read):
    done = {"id": "d", "function": {"name": "done", "arguments": '{"summary": "0.55"}'}}
    messages = [*OPENAI[:-1], {"role": "assistant", "content": None, "tool_calls": [done]}]
    assert read(write(messages)).run.final_output == {"summary": "0.55"}
    refused = {"role": "tool", "tool_call_id": "d", "content": "not yet"}
    assert read(write([*messages, refused, BYE])).run.final_output == "0.55, and 0.2."

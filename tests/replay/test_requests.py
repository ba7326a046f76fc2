"""Requests in short form, and their keys."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from looplet.core.history import History
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest, request_key
from looplet.core.sofar import SoFar
from looplet.redaction import redact_strings
from looplet.replay.requests import LaneKeys, Packer, Unpacker

TEXTS = st.sampled_from(
    ["", "hi", "a word, " * 40, "a word, " * 40 + "b", "x\n" * 150, "\ud800" * 250]
)
INPUTS = st.dictionaries(st.text(max_size=3), st.integers() | st.booleans() | TEXTS, max_size=2)
CALLS = st.builds(CallRequest, id=st.sampled_from("ab"), name=st.just("t"), input=INPUTS)
MESSAGES = st.one_of(
    st.builds(ChatMessage, role=st.sampled_from(["user", "assistant"]), content=TEXTS),
    st.builds(
        ChatMessage, role=st.just("assistant"), content=TEXTS, calls=st.tuples(CALLS) | st.just(())
    ),
    st.builds(
        ChatMessage,
        role=st.just("assistant"),
        content=TEXTS,
        blocks=st.tuples(st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXTS})),
    ),
    st.builds(ChatMessage, role=st.just("tool"), content=TEXTS, call_id=st.sampled_from("ab")),
)
TOOLS = st.sampled_from([[], [{"name": "t"}], [{"name": "t", "description": "d" * 300}]])


@st.composite
def talks(draw):
    """Requests of one lane whose histories grow in place, are cut, or begin anew."""
    histories = [SoFar(draw(st.lists(MESSAGES, min_size=1, max_size=3)))]
    requests = []
    for _ in range(draw(st.integers(1, 10))):
        history = draw(st.sampled_from(histories))
        way = draw(st.sampled_from(["grow", "grow", "shorter", "opening", "tuple"]))
        if way == "grow":
            history = history.with_more(draw(st.lists(MESSAGES, max_size=2)))
        elif way == "opening":
            history = SoFar([draw(MESSAGES), *history[1:]])
        elif way == "shorter":
            history = SoFar(list(history[: draw(st.integers(1, 3))]))
        histories.append(history)
        messages = tuple(history) if way == "tuple" else history
        requests.append(
            ModelRequest(
                method="generate_with_tools",
                prompt="",
                system_prompt=draw(st.sampled_from(["", "", "be kind", "be a word, brief"])),
                messages=messages,
                temperature=draw(st.sampled_from([0.2, 0.2, 0.3])),
            )
        )
    return requests


def shouted(value):
    """Another redaction: every ``word`` is hidden."""
    return redact_strings(value, lambda text: text.replace("word", "[REDACTED:it]"))


@given(talks(), st.sampled_from([None, shouted]))
def test_however_histories_go_on_keys_are_those_of_core(requests, redact):
    keys, packer, unpacker = LaneKeys(redact), Packer(), Unpacker()
    packed = []
    for request in requests:
        asked = keys.of_request(request, model="m")
        clean = [
            ChatMessage.from_dict((redact or (lambda same: same))(message.to_dict()))
            for message in request.conversation()
        ]
        alone = replace(request, system_prompt="", messages=tuple(clean))
        assert asked.key == request_key(alone, model="m")
        assert [*asked.messages] == clean
        packed.append((asked, packer.pack("main", asked)))
    for asked, body in packed:
        found = unpacker.unpack("main", "generate_with_tools", body)
        assert found.key == asked.key
        assert found.digests == asked.digests
        assert [each.digest for each in found.messages] == [*asked.digests]


def test_a_message_is_looked_through_once():
    looked = []

    def redact(value):
        looked.append(value)
        return value

    def ask(messages):
        before = len(looked)
        request = ModelRequest(method="generate", prompt="", system_prompt="s", messages=messages)
        keys.of_request(request, model=None)
        return [value for value in looked[before:] if isinstance(value, str)]

    keys, history, other = LaneKeys(redact), History(), History()
    history.open("TASK")
    history.reply_text("one")
    assert ask(history.messages()) == ["s", "TASK", "one"]
    history.reply_text("two")
    assert ask(history.messages()) == ["two"]
    other.open("OTHER")
    assert ask(other.messages()) == ["OTHER"]
    history.reply_text("three")
    assert ask(history.messages()) == ["three"]
    history.open("TASK, and what is remembered")
    assert ask(history.messages()) == ["TASK, and what is remembered"]
    assert ask(tuple(history.messages())) == []


@st.composite
def conversations(draw):
    """Requests of two lanes, each mostly the one before with more."""
    history: list[ChatMessage] = []
    requests = []
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.booleans()):
            history = history[draw(st.integers(0, 3)) :]
        history = [*history, *draw(st.lists(MESSAGES, max_size=3))]
        requests.append(
            (
                draw(st.sampled_from(["main", "tool:x"])),
                ModelRequest(
                    method=draw(st.sampled_from(["generate", "generate_with_tools"])),
                    prompt=draw(TEXTS),
                    system_prompt=draw(TEXTS),
                    messages=tuple(history) if draw(st.booleans()) else (),
                    tools=draw(TOOLS),
                    temperature=draw(st.sampled_from([0.2, 1, 1.0])),
                    extra=draw(st.sampled_from([{}, {"top_p": 0.5}, {"stop": ("a", "b")}])),
                ),
                draw(st.sampled_from([None, "m-1", "m-2"])),
            )
        )
    return requests


@given(conversations())
def test_keys_are_those_of_core_and_short_forms_give_requests_back(requests):
    keys: dict[str, LaneKeys] = {}
    packer, unpacker = Packer(), Unpacker()
    for lane, request, model in requests:
        asked = keys.setdefault(lane, LaneKeys()).of_request(request, model=model)
        assert asked.key == request_key(request, model=model)
        assert asked.messages == request.conversation()
        found = unpacker.unpack(lane, request.method, packer.pack(lane, asked))
        assert found.key == asked.key
        assert found.digests == asked.digests
        assert [each.content for each in found.messages] == [
            each.content for each in asked.messages
        ]


def test_equal_numbers_of_other_types_are_other_requests():
    keys = LaneKeys()
    messages = [
        (ChatMessage(role="assistant", calls=(CallRequest(id="a", name="t", input={"n": n}),)),)
        for n in (1, True, 1.0)
    ]
    found = {
        keys.of_request(ModelRequest(method="generate", prompt="", messages=each), model=None).key
        for each in messages
    }
    assert len(found) == 3


def test_arguments_that_json_changes_keep_their_key_through_a_file():
    call = CallRequest(id="a", name="t", input={2: "two", 10: ("ten",)})  # type: ignore[dict-item]
    request = ModelRequest(
        method="generate", prompt="", messages=(ChatMessage(role="assistant", calls=(call,)),)
    )
    asked = LaneKeys().of_request(request, model=None)
    found = Unpacker().unpack("main", "generate", Packer().pack("main", asked))
    assert found.key == asked.key


def test_a_request_builds_on_an_older_one_if_another_came_between():
    packer, keys = Packer(), LaneKeys()
    history = tuple(ChatMessage(role="user", content=f"{n} " * 150) for n in range(5))
    steps = [history[:3], (ChatMessage(role="user", content="Sum it up."),), history[:4]]
    bodies = [
        packer.pack(
            "main",
            keys.of_request(ModelRequest(method="generate", prompt="", messages=each), model=None),
        )
        for each in steps
    ]
    assert bodies[2]["base"] == 2
    assert bodies[2]["messages"][0] == {"same": "0..3"}
    assert len(bodies[2]["messages"]) == 2


def test_a_long_system_prompt_is_written_once_for_all_lanes():
    packer, request = (
        Packer(),
        ModelRequest(method="generate", prompt="hi", system_prompt="s" * 999),
    )
    bodies = [
        packer.pack(lane, LaneKeys().of_request(request, model=None)) for lane in ("main", "tool:x")
    ]
    assert len(str(bodies[0])) > 999
    assert len(str(bodies[1])) < 300

"""Commands from outside: what is in order is obeyed, anything else is refused in one line."""

import json
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.commands import CommandError, parse
from firmware_bridge.messages import VERBS


def test_arguments_are_typed():
    command = parse("calibrate", b'{"duration_s": 30, "store": true, "id": "a"}')
    assert (command.arguments.duration_s, command.arguments.store, command.id) == (30, True, "a")
    assert parse("pause", b"").id is None


@pytest.mark.parametrize(
    ("verb", "body", "said"),
    [
        ("reboot", b"", "unknown command"),
        ("pause", b"x" * 1025, "longer than 1024"),
        ("pause", b'{"when": 1}', "when: unknown argument"),
        ("calibrate", b'{"duration_s": 1e9}', "duration_s"),
        ("calibrate", b'{"duration_s": NaN}', "duration_s"),
        ("calibrate", b'{"store": "yes"}', "store"),
        ("pause", b"\xff", ""),
        ("pause", b"[" * 1000, ""),
        ("pause", b"null", ""),
    ],
)
def test_the_rest_is_refused_in_one_line(verb, body, said):
    with pytest.raises(CommandError) as caught:
        parse(verb, body)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_retained_commands_are_refused():
    with pytest.raises(CommandError, match="retain"):
        parse("pause", b"{}", retained=True)


@given(st.sampled_from([*VERBS, "x", ""]), st.binary(max_size=1100) | st.text(max_size=400).map(str.encode))
def test_any_bytes_are_a_command_or_a_refusal(verb, body):
    try:
        command = parse(verb, body)
    except CommandError as error:
        said = str(error)
    else:
        said = command.verb
    assert said


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.faults)])
def test_fuzzed_commands(count):
    chance = random.Random(count)
    sound = [b'{"id":"a"}', b'{"duration_s":30,"store":true,"reset":false}', b"", b"{}"]
    accepted = 0
    for _ in range(count):
        body = bytearray(chance.choice(sound))
        for _ in range(chance.randrange(4)):
            place = chance.randrange(len(body) + 1)
            letter = chance.choice(string.printable).encode()
            body[place : place + chance.randrange(3)] = letter * chance.choice((1, 1, 300))
        verb = chance.choice([*VERBS, "", "pause/x"])
        try:
            command = parse(verb, bytes(body))
        except CommandError:
            continue
        accepted += 1
        assert command.verb in VERBS
        assert not body or isinstance(json.loads(body), dict)
    assert 0.1 < accepted / count < 0.9

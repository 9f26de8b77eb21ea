"""Frames against the C reference decoder, and the link over a pair of pseudo-terminals."""

import contextlib
import os
import random
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from broker import until
from fakes import make_reading
from hypothesis import given
from hypothesis import strategies as st
from microcontroller import board, listen

import firmware_bridge
from edge_emotion.types import QualityFlag
from firmware_bridge import frames
from firmware_bridge.faults import Faults
from firmware_bridge.frames import Decoder, Frame, Type, crc16, encode, pack_reading
from firmware_bridge.indicator import IndicatorError
from firmware_bridge.progress import Progress
from firmware_bridge.serial_link import SerialLink
from firmware_bridge.settings import Serial

HERE = Path(__file__).parent
C = Path(firmware_bridge.__file__).parent / "units/c"
any_frame = st.builds(
    Frame, st.integers(0, 255), st.binary(max_size=200), st.integers(0, 255), st.integers(0, 255)
)


def decode_in_c(program, data):
    done = subprocess.run([program], input=data, capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def test_the_check_value_of_the_crc():
    assert crc16(b"123456789") == 0x29B1


@given(any_frame)
def test_what_is_encoded_is_decoded(frame):
    wire = encode(frame)
    assert wire[0] == wire[-1] == 0
    assert 0 not in wire[1:-1]
    assert Decoder().push(wire) == [frame]


@given(st.lists(any_frame, max_size=4), st.lists(st.integers(0, 900), max_size=6), st.binary(max_size=40))
def test_any_split_gives_the_same_frames(sent, cuts, noise):
    data = noise + b"\0" + b"".join(map(encode, sent))
    whole = Decoder().push(data)
    assert whole[-len(sent) :] == sent or not sent
    cuts = sorted(min(cut, len(data)) for cut in cuts)
    decoder, pieces = Decoder(), []
    for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True):
        pieces += decoder.push(data[a:b])
    assert pieces == whole


@given(any_frame, st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_byte_never_passes(frame, place, change):
    wire = bytearray(encode(frame))
    place = 1 + place % (len(wire) - 2)
    wire[place] ^= change
    assert all(found.payload != frame.payload or found == frame for found in Decoder().push(bytes(wire)))


def test_shared_vectors_in_c(reference):
    random.seed(5)
    payloads = [b"", bytes(200), random.randbytes(200), *(random.randbytes(size) for size in range(1, 200))]
    sent = [Frame(random.randrange(1, 10), payload, n & 255) for n, payload in enumerate(payloads)]
    sent = [frame for frame in sent if frame.type != Type.READING]
    lines = decode_in_c(reference, b"".join(map(encode, sent)))
    assert lines[:-1] == [f"frame {f.type} {f.seq} {f.flags} {f.payload.hex()}" for f in sent]
    assert lines[-1].startswith("errors 0")


def test_readings_in_c(reference):
    quality = ("no_face", "uncalibrated")
    readings = [
        make_reading(
            seq=7,
            arousal=0.5,
            valence=-0.25,
            sigma=(0.18, 3.0),
            confidence=1.0,
            quality=quality,
        ),
        make_reading(seq=2**32 - 1, arousal=None, valence=None),
        make_reading(seq=1, arousal=1.0, valence=-1.0),
    ]
    lines = decode_in_c(
        reference, b"".join(encode(Frame(Type.READING, pack_reading(each))) for each in readings)
    )
    assert lines[0] == f"reading 7 16384 -8192 18 255 255 1 {1 | 1 << 12}"
    assert lines[1] == f"reading {2**32 - 1} -32768 -32768 0 0 0 0 0"
    assert lines[2].startswith("reading 1 32767 -32767 ")


def test_the_quality_bits_are_the_vocabulary():
    assert QualityFlag.__args__ == frames.QUALITY_BITS


def fuzz(count, seed):
    """Noise, damaged frames and sound ones; returns the bytes and what Python makes of them."""
    chance = random.Random(seed)
    data = bytearray()
    for n in range(count):
        choice = chance.random()
        if choice < 0.4:
            data += chance.randbytes(chance.randrange(1, 60))
        elif choice < 0.8:
            wire = bytearray(
                encode(Frame(chance.randrange(256), chance.randbytes(chance.randrange(30)), n & 255))
            )
            wire[chance.randrange(len(wire))] = chance.randrange(256)
            data += wire
        else:
            data += encode(Frame(Type.HEARTBEAT, b"", n & 255))
    data += b"\0"
    decoder = Decoder()
    return bytes(data), decoder.push(bytes(data)), decoder


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.faults)])
def test_both_decoders_agree_on_fuzz(reference, count):
    data, found, decoder = fuzz(count, seed=count)
    lines = decode_in_c(reference, data)
    shown = [line for line in lines[:-1] if line.startswith("frame")]
    plain = [frame for frame in found if not (frame.type == Type.READING and len(frame.payload) == 14)]
    assert shown == [f"frame {f.type} {f.seq} {f.flags} {f.payload.hex()}" for f in plain]
    assert lines[-1] == f"errors {decoder.errors} alive 1 0"
    assert decoder.errors > count / 10


@pytest.fixture
def link(line):
    faults, progress, commands = Faults(), Progress(), []
    link = SerialLink(Serial(port=line[1]), faults, progress.stage("serial", 20), commands.append)
    link.start()
    yield link, line[0], faults, commands
    link.close()


def wait_for_hello(ours):
    """Opening the line throws away what was sent before; the greeting tells that it is open."""
    decoder = Decoder()
    while not any(frame.type == Type.HELLO for frame in decoder.push(os.read(ours, 4096))):
        pass


def drain(ours, count):
    with contextlib.suppress(OSError):
        for _ in range(count):
            os.read(ours, 4096)


def test_the_c_decoder_over_a_terminal(reference, link):
    link, ours, faults, _ = link
    with board(ours, reference) as process:
        link.switch(True)
        link.send(Type.READING, pack_reading(make_reading(seq=42)))
        seen = []
        reader = threading.Thread(target=listen, args=(process.stdout, seen), daemon=True)
        reader.start()
        until(lambda: any(line.startswith("reading 42 ") for line in seen))
        until(lambda: sum(line.startswith("frame 2 ") for line in seen) >= 3, 5)  # heartbeats, 1 Hz
        assert any(
            line.startswith("frame 1 ") and line.strip().endswith(b"edge_emotion".hex()) for line in seen
        )
        assert "serial_lost" not in faults.held()
        process.kill()
        reader.join()


def test_silence_is_a_fault_and_an_indicator_needs_an_answer(link):
    link, _, faults, _ = link
    with pytest.raises(IndicatorError, match="no acknowledgement"):
        link.switch(True)
    until(lambda: "serial_lost" in faults.held(), 6)


def test_buttons_and_commands(link):
    link, ours, _, commands = link
    wait_for_hello(ours)
    os.write(ours, encode(Frame(Type.BUTTON, b"\1\1", 1)) + encode(Frame(Type.BUTTON, b"\1\0", 2)))
    os.write(
        ours,
        encode(Frame(Type.CMD, b"\1", 3)) + encode(Frame(Type.CMD, b"\x63", 4)) + encode(Frame(77, b"", 5)),
    )
    until(lambda: commands == ["toggle", "pause"])
    decoder, answers = Decoder(), []
    while len(answers) < 5:
        answers += [f for f in decoder.push(os.read(ours, 4096)) if f.type in (Type.ACK, Type.NACK)]
    assert [(f.type, f.payload[0]) for f in answers] == [
        (Type.ACK, 1), (Type.ACK, 2), (Type.ACK, 3), (Type.NACK, 4), (Type.NACK, 5)
    ]  # fmt: skip


def test_fuzz_over_the_line_changes_nothing(link):
    link, ours, _, commands = link
    wait_for_hello(ours)
    data, found, _ = fuzz(300, seed=3)
    harmless = [f for f in found if f.type in (Type.BUTTON, Type.CMD)]
    writer = threading.Thread(target=os.write, args=(ours, data), daemon=True)
    writer.start()
    sink = threading.Thread(target=drain, args=(ours, 200), daemon=True)
    sink.start()
    time.sleep(1)
    os.write(ours, encode(Frame(Type.CMD, b"\3", 9)))
    until(lambda: "identify" in commands)
    assert len(commands) <= 1 + len(harmless)


def test_struct_sizes():
    assert len(pack_reading(make_reading())) == 14 == struct.calcsize("<IhhBBBBH")

"""The frames of the serial link: COBS, CRC-16/CCITT-FALSE, fixed point. `units/c/edge_emotion_link.h` is its twin.

A frame before COBS is version, type, flags, sequence, length (one byte each), at most 200 bytes of payload, and the CRC
(little endian) over all before it; on the line it stands between two zero bytes.
"""

from __future__ import annotations

import binascii
import struct
from enum import IntEnum
from typing import NamedTuple

from cobs import cobs

from edge_emotion.types import QualityFlag, Reading

VERSION = 1
PAYLOAD_LIMIT = 200
_HEAD = struct.Struct("<BBBBB")
_WIRE_LIMIT = _HEAD.size + PAYLOAD_LIMIT + 2 + 2  # COBS adds at most one byte in 254
_READING = struct.Struct("<IhhBBBBH")
MISSING_Q15 = -32768

QUALITY_BITS: tuple[QualityFlag, ...] = (
    "no_face", "multi_face", "low_light", "blur", "off_axis", "no_speech", "clipped",
    "low_snr", "overrun", "stale_video", "stale_audio", "clock_unsynced", "uncalibrated",
)  # fmt: skip
"""Bit n of the quality set is the n-th flag."""


class Type(IntEnum):
    """Kinds of frames."""

    HELLO = 1
    HEARTBEAT = 2
    READING = 3
    STATUS = 4
    INDICATOR = 5
    BUTTON = 6
    CMD = 7
    ACK = 8
    NACK = 9


class Frame(NamedTuple):
    """One frame."""

    type: int
    payload: bytes
    seq: int = 0
    flags: int = 0


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF; ``b"123456789"`` gives 0x29B1."""
    return binascii.crc_hqx(data, 0xFFFF)


def encode(frame: Frame) -> bytes:
    """A frame as it goes over the line; ``ValueError`` for a payload above 200 bytes."""
    if len(frame.payload) > PAYLOAD_LIMIT:
        raise ValueError(f"payload of {len(frame.payload)} bytes, at most {PAYLOAD_LIMIT} fit")
    plain = _HEAD.pack(VERSION, frame.type, frame.flags, frame.seq & 0xFF, len(frame.payload)) + frame.payload
    return b"\0" + cobs.encode(plain + struct.pack("<H", crc16(plain))) + b"\0"


class Decoder:
    """Bytes in, whole and sound frames out; everything else is dropped and counted."""

    def __init__(self) -> None:
        self.errors = 0
        self.reset()

    def reset(self) -> None:
        """As just constructed, but for the count of errors."""
        self._pending = bytearray()
        self._overlong = False

    def push(self, data: bytes) -> list[Frame]:
        """Take the next bytes; any split gives the same frames."""
        frames = []
        for byte in data:
            if byte:
                if len(self._pending) < _WIRE_LIMIT:
                    self._pending.append(byte)
                else:
                    self._overlong = True
                continue
            if self._pending:
                frame = None if self._overlong else _decode(bytes(self._pending))
                self.errors += frame is None
                if frame is not None:
                    frames.append(frame)
            self.reset()
        return frames


def _decode(wire: bytes) -> Frame | None:
    try:
        plain = cobs.decode(wire)
    except cobs.DecodeError:
        return None
    if len(plain) < _HEAD.size + 2:
        return None
    version, kind, flags, seq, length = _HEAD.unpack_from(plain)
    if version != VERSION or length > PAYLOAD_LIMIT or len(plain) != _HEAD.size + length + 2:
        return None
    if struct.unpack("<H", plain[-2:])[0] != crc16(plain[:-2]):
        return None
    return Frame(kind, plain[_HEAD.size : -2], seq, flags)


def pack_reading(reading: Reading) -> bytes:
    """Payload of READING.

    Sequence u32; arousal and valence i16 in Q15 (-32768: missing); both sigmas u8 in hundredths (0: missing, 255: 2.55
    or more); confidence u8 of 255; flags u8 (bit 0: valid); quality u16, bits in order of `QUALITY_BITS`.
    """
    quality = sum(1 << QUALITY_BITS.index(flag) for flag in reading.quality)
    return _READING.pack(
        reading.seq & 0xFFFFFFFF,
        _q15(reading.arousal),
        _q15(reading.valence),
        _hundredths(reading.sigma_arousal),
        _hundredths(reading.sigma_valence),
        round(255 * (reading.confidence or 0.0)),
        int(reading.valid),
        quality,
    )


def _q15(value: float | None) -> int:
    return MISSING_Q15 if value is None else max(-32767, min(32767, round(value * 32768)))


def _hundredths(value: float | None) -> int:
    return 0 if value is None else max(1, min(255, round(value * 100)))

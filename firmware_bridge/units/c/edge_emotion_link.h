/* Reference decoder for the serial link of edge-emotion-daemon. C99, no allocation, no recursion, 270 bytes of state.
 *
 * Feed every received byte to ee_push(); it returns 1 when a whole, sound frame is in the decoder. Call ee_alive() with
 * a millisecond counter: it turns 0 when the heartbeat has been silent for 3 s. Fail closed then: light off, last
 * reading void.
 *
 * A frame before COBS: version u8, type u8, flags u8, seq u8, len u8, payload[len <= 200], crc u16 LE. On the line it
 * stands between two zero bytes. CRC-16/CCITT-FALSE over all bytes before the CRC ("123456789" -> 0x29B1).
 */
#ifndef EDGE_EMOTION_LINK_H
#define EDGE_EMOTION_LINK_H

#include <stddef.h>
#include <stdint.h>

#define EE_VERSION 1u
#define EE_PAYLOAD_LIMIT 200u
#define EE_PLAIN_LIMIT (5u + EE_PAYLOAD_LIMIT + 2u)
#define EE_WIRE_LIMIT (EE_PLAIN_LIMIT + 2u)
#define EE_SILENCE_MS 3000u
#define EE_MISSING (-32768)

enum ee_type {
  EE_HELLO = 1, EE_HEARTBEAT, EE_READING, EE_STATUS, EE_INDICATOR, EE_BUTTON, EE_CMD, EE_ACK, EE_NACK
};

typedef struct {
  uint8_t wire[EE_WIRE_LIMIT];
  uint16_t count;      /* bytes of the frame under way */
  uint8_t overlong;
  uint8_t type, flags, seq, length; /* the last sound frame; its payload is in wire[] until the next ee_push() */
  const uint8_t *payload;
  uint32_t errors;     /* frames dropped: COBS, length, version or CRC */
  uint32_t beat_ms;    /* when the last heartbeat came */
  uint8_t beating;
} ee_decoder;

typedef struct {
  uint32_t seq;
  int16_t arousal_q15, valence_q15; /* EE_MISSING where there is no estimate */
  uint8_t sigma_arousal, sigma_valence; /* hundredths; 0: missing */
  uint8_t confidence; /* of 255 */
  uint8_t valid;
  uint16_t quality;
} ee_reading;

uint16_t ee_crc16(const uint8_t *data, size_t size);
void ee_init(ee_decoder *decoder);
int ee_push(ee_decoder *decoder, uint8_t byte, uint32_t now_ms);
int ee_alive(const ee_decoder *decoder, uint32_t now_ms);
int ee_get_reading(const ee_decoder *decoder, ee_reading *reading);
/* Writes the frame, zero bytes included, to out (at least size + 12 bytes); returns its length, 0 if size > 200. */
size_t ee_encode(uint8_t type, uint8_t seq, const uint8_t *payload, uint8_t size, uint8_t *out);

#endif

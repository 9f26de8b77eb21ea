#include "edge_emotion_link.h"

uint16_t ee_crc16(const uint8_t *data, size_t size) {
  uint16_t crc = 0xFFFFu;
  for (size_t i = 0; i < size; i++) {
    crc ^= (uint16_t)((uint16_t)data[i] << 8);
    for (int bit = 0; bit < 8; bit++) {
      crc = (uint16_t)((crc & 0x8000u) ? (uint16_t)(crc << 1) ^ 0x1021u : (uint16_t)(crc << 1));
    }
  }
  return crc;
}

void ee_init(ee_decoder *decoder) {
  *decoder = (ee_decoder){0};
}

/* Undo COBS in place: the plain bytes never run ahead of the stuffed ones. Returns their count, 0 on an error. */
static uint16_t unstuff(uint8_t *bytes, uint16_t count) {
  uint16_t in = 0, out = 0;
  while (in < count) {
    const uint8_t code = bytes[in++];
    const uint16_t run = (uint16_t)(code - 1u);
    if (in + run > count) return 0;
    for (uint16_t i = 0; i < run; i++) bytes[out++] = bytes[in++];
    if (code != 0xFFu && in < count) bytes[out++] = 0;
  }
  return out;
}

static int accept(ee_decoder *decoder, uint32_t now_ms) {
  uint8_t *plain = decoder->wire;
  const uint16_t count = unstuff(plain, decoder->count);
  if (count < 7u || plain[0] != EE_VERSION || plain[4] > EE_PAYLOAD_LIMIT || count != 7u + plain[4]) return 0;
  const uint16_t crc = (uint16_t)(plain[count - 2] | (uint16_t)(plain[count - 1] << 8));
  if (crc != ee_crc16(plain, count - 2u)) return 0;
  decoder->type = plain[1];
  decoder->flags = plain[2];
  decoder->seq = plain[3];
  decoder->length = plain[4];
  decoder->payload = plain + 5;
  if (decoder->type == EE_HEARTBEAT) {
    decoder->beat_ms = now_ms;
    decoder->beating = 1;
  }
  return 1;
}

int ee_push(ee_decoder *decoder, uint8_t byte, uint32_t now_ms) {
  if (byte != 0) {
    if (decoder->count < EE_WIRE_LIMIT) decoder->wire[decoder->count++] = byte;
    else decoder->overlong = 1;
    return 0;
  }
  int whole = 0;
  if (decoder->count > 0) {
    whole = !decoder->overlong && accept(decoder, now_ms);
    if (!whole) decoder->errors++;
  }
  decoder->count = 0;
  decoder->overlong = 0;
  return whole;
}

int ee_alive(const ee_decoder *decoder, uint32_t now_ms) {
  return decoder->beating && (uint32_t)(now_ms - decoder->beat_ms) <= EE_SILENCE_MS;
}

int ee_get_reading(const ee_decoder *decoder, ee_reading *reading) {
  const uint8_t *p = decoder->payload;
  if (decoder->type != EE_READING || decoder->length != 14u) return 0;
  reading->seq = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
  reading->arousal_q15 = (int16_t)(uint16_t)(p[4] | (uint16_t)(p[5] << 8));
  reading->valence_q15 = (int16_t)(uint16_t)(p[6] | (uint16_t)(p[7] << 8));
  reading->sigma_arousal = p[8];
  reading->sigma_valence = p[9];
  reading->confidence = p[10];
  reading->valid = p[11] & 1u;
  reading->quality = (uint16_t)(p[12] | (uint16_t)(p[13] << 8));
  return 1;
}

size_t ee_encode(uint8_t type, uint8_t seq, const uint8_t *payload, uint8_t size, uint8_t *out) {
  uint8_t plain[EE_PLAIN_LIMIT];
  if (size > EE_PAYLOAD_LIMIT) return 0;
  plain[0] = EE_VERSION;
  plain[1] = type;
  plain[2] = 0;
  plain[3] = seq;
  plain[4] = size;
  for (uint16_t i = 0; i < size; i++) plain[5 + i] = payload[i];
  const uint16_t crc = ee_crc16(plain, 5u + size);
  plain[5 + size] = (uint8_t)(crc & 0xFFu);
  plain[6 + size] = (uint8_t)(crc >> 8);

  size_t out_count = 0, code_at = 1;
  uint8_t code = 1;
  out[out_count++] = 0;
  out_count++; /* room for the first code */
  for (uint16_t i = 0; i < 7u + size; i++) {
    if (plain[i] != 0) {
      out[out_count++] = plain[i];
      code++;
    }
    if (plain[i] == 0 || code == 0xFFu) {
      out[code_at] = code;
      code = 1;
      code_at = out_count++;
    }
  }
  out[code_at] = code;
  out[out_count++] = 0;
  return out_count;
}

/* Feeds standard input to the reference decoder; prints one line for each frame, at the end the count of errors.
 * With an argument it answers on the same terminal like a microcontroller: ACK to INDICATOR, heartbeats. */
#include <stdio.h>
#include <unistd.h>
#include <string.h>
#include "edge_emotion_link.h"

int main(int argc, char **argv) {
  ee_decoder decoder;
  ee_init(&decoder);
  uint8_t buffer[4096], out[300];
  uint32_t clock_ms = 0;
  ssize_t got;
  while ((got = read(0, buffer, sizeof buffer)) > 0) {
    for (ssize_t i = 0; i < got; i++) {
      if (!ee_push(&decoder, buffer[i], clock_ms++)) continue;
      ee_reading r;
      if (argc > 1) {
        size_t n = 0;
        if (decoder.type == EE_HEARTBEAT) n = ee_encode(EE_HEARTBEAT, 0, out, 0, out);
        if (decoder.type == EE_INDICATOR) { uint8_t s = decoder.seq; n = ee_encode(EE_ACK, 1, &s, 1, out); }
        if (n && write(3, out, n) < 0) return 1;
      }
      if (ee_get_reading(&decoder, &r)) {
        printf("reading %u %d %d %u %u %u %u %u\n", (unsigned)r.seq, r.arousal_q15, r.valence_q15, r.sigma_arousal,
               r.sigma_valence, r.confidence, r.valid, r.quality);
      } else {
        printf("frame %u %u %u ", decoder.type, decoder.seq, decoder.flags);
        for (int k = 0; k < decoder.length; k++) printf("%02x", decoder.payload[k]);
        printf("\n");
      }
      fflush(stdout);
    }
  }
  printf("errors %u alive %d %d\n", (unsigned)decoder.errors, ee_alive(&decoder, decoder.beat_ms + 3000),
         ee_alive(&decoder, decoder.beat_ms + 3001));
  return 0;
}

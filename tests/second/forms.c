/* Values, permits and signals. */
#include "second.h"

#include <string.h>

/* Newest values and shared values. */

uint64_t read_cell(struct ring *r, uint64_t cell, uint64_t bytes, uint8_t *out) {
    uint64_t room = up(bytes, 64), begins = 64 + cell * (64 + 4 * room);
    for (;;) {
        uint64_t version = atomic_load_explicit(data_at(r, begins), memory_order_acquire);
        for (uint64_t part = 0; part < bytes; part += 8) {
            uint64_t value = load(data_at(r, begins + 64 + version % 4 * room + part));
            memcpy(out + part, &value, 8);
        }
        acquire_fence();
        if (load(data_at(r, begins)) - version < 3) return version;
    }
}

/*
 * The shared memory of slipring: what lies where, for C11 and C++17.
 *
 * Generated from the definitions of the library; a test compares the two. docs/reference/protocol.md says what the
 * fields mean and which steps a process owes to the others: this file alone is no implementation.
 *
 * All numbers are little-endian. Every word behind the description is shared: read and write each with one atomic
 * access of its own size (__atomic_load_n, __atomic_store_n), in the order that the page demands, never as a plain
 * member. What is called reserved is zero, and is neither written nor read.
 */
#ifndef SLIPRING_LAYOUT_H
#define SLIPRING_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "errors.h"

#ifdef __cplusplus
#define SLIPRING_ASSERT(holds, what) static_assert(holds, what)
#else
#define SLIPRING_ASSERT(holds, what) _Static_assert(holds, what)
#endif

/* The first bytes of `stream` and of `schema`. */
#define SLIPRING_MAGIC "SLIPRING"
#define SLIPRING_SCHEMA_FILE_MAGIC "SLIPSCHM"

/* Sizes and offsets, in bytes, and the most of each. */
#define SLIPRING_LAYOUT_VERSION 3
#define SLIPRING_BYTE_ORDER 16909060
#define SLIPRING_PAGE 4096
#define SLIPRING_HUGE_PAGE 2097152
#define SLIPRING_LINE 128
#define SLIPRING_WORD 8
#define SLIPRING_BLOCK 4096
#define SLIPRING_INDEX_ENTRY 16
#define SLIPRING_EVICTION_ENTRY 8
#define SLIPRING_PRODUCER_OFFSET 4096
#define SLIPRING_INDEX_OFFSET 8192
#define SLIPRING_ROWS_OFFSET 4096
#define SLIPRING_MIN_CAPACITY 4096
#define SLIPRING_MAX_CAPACITY UINT64_C(0x10000000000)
#define SLIPRING_MAX_ROWS 1024
#define SLIPRING_MAX_BOARD 1048576
#define SLIPRING_MAX_PAYLOAD 2147483646
#define SLIPRING_MAX_SCHEMA 3576

/* Bytes of the description that have no field. */
#define SLIPRING_RESERVED_BEGIN 324
#define SLIPRING_RESERVED_END 416
#define SLIPRING_IGNORED_BEGIN 416
#define SLIPRING_IGNORED_END 512

/* Incompatible features. */
#define SLIPRING_FEATURE_HUGE 1
#define SLIPRING_FEATURE_EVICTS 2
#define SLIPRING_FEATURE_FORM 4
#define SLIPRING_FEATURE_STAMPS 8

/* Forms. */
#define SLIPRING_FORM_RING 0
#define SLIPRING_FORM_QUEUE 1
#define SLIPRING_FORM_LANE 2
#define SLIPRING_FORM_MAILBOX 3
#define SLIPRING_FORM_LINK 4
#define SLIPRING_FORM_PIPE 5
#define SLIPRING_FORM_LATEST 6
#define SLIPRING_FORM_SHARED 7
#define SLIPRING_FORM_SEMAPHORE 8
#define SLIPRING_FORM_SIGNALS 9

/* States of the producer, and of a row. */
#define SLIPRING_PRODUCER_ABSENT 0
#define SLIPRING_PRODUCER_ATTACHED 1
#define SLIPRING_PRODUCER_CLOSED 2
#define SLIPRING_ROW_FREE 0
#define SLIPRING_ROW_CONSUMER 1
#define SLIPRING_ROW_OBSERVER 2
#define SLIPRING_ROW_AWAY 3

/* The commit word, gaps and the eviction table. */
#define SLIPRING_COMMIT_LENGTH 2147483647
#define SLIPRING_COMMIT_NO_MESSAGE UINT64_C(0x80000000)
#define SLIPRING_COMMIT_SEQUENCE_SHIFT 32
#define SLIPRING_GAP_BYTES 16
#define SLIPRING_GAP_LOST 1
#define SLIPRING_GAP_NOT_RECORDED 2
#define SLIPRING_GAP_RESTORED 3
#define SLIPRING_FARTHEST UINT64_C(0x4000000000000000)
#define SLIPRING_EXPELLED UINT64_C(0xffffffffffffffff)

/* Bytes of `lock`. That of a cursor is SLIPRING_LOCK_CURSORS plus the hash of its name divided by 8. */
#define SLIPRING_LOCK_PRODUCER 0
#define SLIPRING_LOCK_REMOVER 1
#define SLIPRING_LOCK_FIRST_SIDE 2
#define SLIPRING_LOCK_SECOND_SIDE 3
#define SLIPRING_LOCK_ROWS 16
#define SLIPRING_LOCK_CURSORS UINT64_C(0x2000000000000000)

/* Hashes, FNV-1a with 64 bits. */
#define SLIPRING_HASH_BEGIN UINT64_C(0xcbf29ce484222325)
#define SLIPRING_HASH_FACTOR UINT64_C(0x100000001b3)

/* Schema files. */
#define SLIPRING_SCHEMA_FILE_MAX_KIND 32
#define SLIPRING_SCHEMA_FILE_MAX_NAME 255

/* The board of a ring with stamps: words of each row. */
#define SLIPRING_STAMP_BUCKETS 592
#define SLIPRING_STAMP_LONGEST 592
#define SLIPRING_STAMP_AHEAD 593
#define SLIPRING_STAMP_WORDS 608

/* The boards of the other forms: words before the list, and how many there are. */
#define SLIPRING_QUEUE_BOARD 1040
#define SLIPRING_QUEUE_LANES 1024
#define SLIPRING_QUEUE_LIST 16
#define SLIPRING_QUEUE_PRIORITIES 8
#define SLIPRING_LANE_TAKE_WORDS 16
#define SLIPRING_LANE_KEEPER_ROW 0
#define SLIPRING_LANE_TAKERS 16384
#define SLIPRING_PERMITS 16
#define SLIPRING_MAX_PERMITS 65536
#define SLIPRING_HOLDER_WORD 8
#define SLIPRING_PACT_BOARD 32
#define SLIPRING_SIGNALS 64

/* Newest and shared values. */
#define SLIPRING_FIRST_CELL 64
#define SLIPRING_CELL_BYTES_OF_64 320

/* Page 0 of `stream`. Constant; copied and checked once. */
struct slipring_description {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint64_t incompatible;
    uint64_t for_producers;
    uint64_t for_none;
    uint64_t capacity;
    uint64_t block;
    uint32_t align;
    uint32_t rows;
    uint32_t largest;
    uint32_t board;
    uint64_t first_sequence;
    uint64_t index_offset;
    uint64_t data_offset;
    uint64_t stream_bytes;
    uint64_t control_bytes;
    uint64_t ring_id[2];
    uint64_t boot_id[2];
    uint64_t created_ns;
    uint64_t schema_hash;
    uint32_t schema_bytes;
    uint32_t form;
    uint64_t evict_after_ns;
    uint64_t first_parameter;
    uint64_t second_parameter;
    char maker[32];
    uint64_t origin_id[2];
    uint64_t origin_epoch;
    char origin_host[64];
    uint64_t schema_file_hash;
    uint32_t schema_file_bytes;
    uint8_t reserved_0[188];
    char schema[3576];
    uint64_t checksum;
};
SLIPRING_ASSERT(sizeof(struct slipring_description) == 4096, "slipring_description");
SLIPRING_ASSERT(offsetof(struct slipring_description, magic) == 0, "slipring_description.magic");
SLIPRING_ASSERT(offsetof(struct slipring_description, version) == 8, "slipring_description.version");
SLIPRING_ASSERT(offsetof(struct slipring_description, byte_order) == 12, "slipring_description.byte_order");
SLIPRING_ASSERT(offsetof(struct slipring_description, incompatible) == 16, "slipring_description.incompatible");
SLIPRING_ASSERT(offsetof(struct slipring_description, for_producers) == 24, "slipring_description.for_producers");
SLIPRING_ASSERT(offsetof(struct slipring_description, for_none) == 32, "slipring_description.for_none");
SLIPRING_ASSERT(offsetof(struct slipring_description, capacity) == 40, "slipring_description.capacity");
SLIPRING_ASSERT(offsetof(struct slipring_description, block) == 48, "slipring_description.block");
SLIPRING_ASSERT(offsetof(struct slipring_description, align) == 56, "slipring_description.align");
SLIPRING_ASSERT(offsetof(struct slipring_description, rows) == 60, "slipring_description.rows");
SLIPRING_ASSERT(offsetof(struct slipring_description, largest) == 64, "slipring_description.largest");
SLIPRING_ASSERT(offsetof(struct slipring_description, board) == 68, "slipring_description.board");
SLIPRING_ASSERT(offsetof(struct slipring_description, first_sequence) == 72, "slipring_description.first_sequence");
SLIPRING_ASSERT(offsetof(struct slipring_description, index_offset) == 80, "slipring_description.index_offset");
SLIPRING_ASSERT(offsetof(struct slipring_description, data_offset) == 88, "slipring_description.data_offset");
SLIPRING_ASSERT(offsetof(struct slipring_description, stream_bytes) == 96, "slipring_description.stream_bytes");
SLIPRING_ASSERT(offsetof(struct slipring_description, control_bytes) == 104, "slipring_description.control_bytes");
SLIPRING_ASSERT(offsetof(struct slipring_description, ring_id) == 112, "slipring_description.ring_id");
SLIPRING_ASSERT(offsetof(struct slipring_description, boot_id) == 128, "slipring_description.boot_id");
SLIPRING_ASSERT(offsetof(struct slipring_description, created_ns) == 144, "slipring_description.created_ns");
SLIPRING_ASSERT(offsetof(struct slipring_description, schema_hash) == 152, "slipring_description.schema_hash");
SLIPRING_ASSERT(offsetof(struct slipring_description, schema_bytes) == 160, "slipring_description.schema_bytes");
SLIPRING_ASSERT(offsetof(struct slipring_description, form) == 164, "slipring_description.form");
SLIPRING_ASSERT(offsetof(struct slipring_description, evict_after_ns) == 168, "slipring_description.evict_after_ns");
SLIPRING_ASSERT(offsetof(struct slipring_description, first_parameter) == 176, "slipring_description.first_parameter");
SLIPRING_ASSERT(offsetof(struct slipring_description, second_parameter) == 184, "slipring_description.second_parameter");
SLIPRING_ASSERT(offsetof(struct slipring_description, maker) == 192, "slipring_description.maker");
SLIPRING_ASSERT(offsetof(struct slipring_description, origin_id) == 224, "slipring_description.origin_id");
SLIPRING_ASSERT(offsetof(struct slipring_description, origin_epoch) == 240, "slipring_description.origin_epoch");
SLIPRING_ASSERT(offsetof(struct slipring_description, origin_host) == 248, "slipring_description.origin_host");
SLIPRING_ASSERT(offsetof(struct slipring_description, schema_file_hash) == 312, "slipring_description.schema_file_hash");
SLIPRING_ASSERT(offsetof(struct slipring_description, schema_file_bytes) == 320, "slipring_description.schema_file_bytes");
SLIPRING_ASSERT(offsetof(struct slipring_description, schema) == 512, "slipring_description.schema");
SLIPRING_ASSERT(offsetof(struct slipring_description, checksum) == 4088, "slipring_description.checksum");

/* Page 1 of `stream`. Written by the producer only. */
struct slipring_producer {
    uint64_t reserve;
    uint8_t reserved_0[120];
    uint64_t limit;
    uint8_t reserved_1[120];
    uint64_t epoch;
    uint32_t state;
    uint32_t pid;
    uint64_t since[2];
    uint64_t evictions;
    uint64_t expulsions;
    uint8_t reserved_2[3792];
};
SLIPRING_ASSERT(sizeof(struct slipring_producer) == 4096, "slipring_producer");
SLIPRING_ASSERT(offsetof(struct slipring_producer, reserve) == 0, "slipring_producer.reserve");
SLIPRING_ASSERT(offsetof(struct slipring_producer, limit) == 128, "slipring_producer.limit");
SLIPRING_ASSERT(offsetof(struct slipring_producer, epoch) == 256, "slipring_producer.epoch");
SLIPRING_ASSERT(offsetof(struct slipring_producer, state) == 264, "slipring_producer.state");
SLIPRING_ASSERT(offsetof(struct slipring_producer, pid) == 268, "slipring_producer.pid");
SLIPRING_ASSERT(offsetof(struct slipring_producer, since) == 272, "slipring_producer.since");
SLIPRING_ASSERT(offsetof(struct slipring_producer, evictions) == 288, "slipring_producer.evictions");
SLIPRING_ASSERT(offsetof(struct slipring_producer, expulsions) == 296, "slipring_producer.expulsions");

/* An entry of the index, from SLIPRING_INDEX_OFFSET on. */
struct slipring_index_entry {
    uint64_t position;
    uint64_t sequence;
};
SLIPRING_ASSERT(sizeof(struct slipring_index_entry) == 16, "slipring_index_entry");
SLIPRING_ASSERT(offsetof(struct slipring_index_entry, position) == 0, "slipring_index_entry.position");
SLIPRING_ASSERT(offsetof(struct slipring_index_entry, sequence) == 8, "slipring_index_entry.sequence");

/* Page 0 of `control`. */
struct slipring_control {
    uint64_t ring_id[2];
    uint8_t reserved_0[112];
    uint32_t data_word;
    uint32_t data_armed;
    uint32_t data_may_park;
    uint32_t data_unfenced;
    uint8_t reserved_1[112];
    uint32_t space_word;
    uint32_t space_armed;
    uint32_t space_may_park;
    uint32_t space_unfenced;
    uint8_t reserved_2[112];
    uint64_t lost;
    uint64_t times;
    uint8_t reserved_3[3696];
};
SLIPRING_ASSERT(sizeof(struct slipring_control) == 4096, "slipring_control");
SLIPRING_ASSERT(offsetof(struct slipring_control, ring_id) == 0, "slipring_control.ring_id");
SLIPRING_ASSERT(offsetof(struct slipring_control, data_word) == 128, "slipring_control.data_word");
SLIPRING_ASSERT(offsetof(struct slipring_control, data_armed) == 132, "slipring_control.data_armed");
SLIPRING_ASSERT(offsetof(struct slipring_control, data_may_park) == 136, "slipring_control.data_may_park");
SLIPRING_ASSERT(offsetof(struct slipring_control, data_unfenced) == 140, "slipring_control.data_unfenced");
SLIPRING_ASSERT(offsetof(struct slipring_control, space_word) == 256, "slipring_control.space_word");
SLIPRING_ASSERT(offsetof(struct slipring_control, space_armed) == 260, "slipring_control.space_armed");
SLIPRING_ASSERT(offsetof(struct slipring_control, space_may_park) == 264, "slipring_control.space_may_park");
SLIPRING_ASSERT(offsetof(struct slipring_control, space_unfenced) == 268, "slipring_control.space_unfenced");
SLIPRING_ASSERT(offsetof(struct slipring_control, lost) == 384, "slipring_control.lost");
SLIPRING_ASSERT(offsetof(struct slipring_control, times) == 392, "slipring_control.times");

/* A row, from SLIPRING_ROWS_OFFSET of `control` on. */
struct slipring_row {
    uint32_t state;
    uint32_t may_park;
    uint64_t position;
    uint64_t sequence;
    uint64_t generation;
    uint32_t pid;
    uint8_t reserved_0[4];
    uint64_t epoch;
    uint64_t name[8];
    uint64_t lost;
    uint64_t times;
};
SLIPRING_ASSERT(sizeof(struct slipring_row) == 128, "slipring_row");
SLIPRING_ASSERT(offsetof(struct slipring_row, state) == 0, "slipring_row.state");
SLIPRING_ASSERT(offsetof(struct slipring_row, may_park) == 4, "slipring_row.may_park");
SLIPRING_ASSERT(offsetof(struct slipring_row, position) == 8, "slipring_row.position");
SLIPRING_ASSERT(offsetof(struct slipring_row, sequence) == 16, "slipring_row.sequence");
SLIPRING_ASSERT(offsetof(struct slipring_row, generation) == 24, "slipring_row.generation");
SLIPRING_ASSERT(offsetof(struct slipring_row, pid) == 32, "slipring_row.pid");
SLIPRING_ASSERT(offsetof(struct slipring_row, epoch) == 40, "slipring_row.epoch");
SLIPRING_ASSERT(offsetof(struct slipring_row, name) == 48, "slipring_row.name");
SLIPRING_ASSERT(offsetof(struct slipring_row, lost) == 112, "slipring_row.lost");
SLIPRING_ASSERT(offsetof(struct slipring_row, times) == 120, "slipring_row.times");

/* The beginning of the file `schema`. */
struct slipring_schema_file {
    char magic[8];
    uint32_t kind_bytes;
    uint32_t name_bytes;
    uint32_t schema_bytes;
    uint8_t reserved_0[4];
};
SLIPRING_ASSERT(sizeof(struct slipring_schema_file) == 24, "slipring_schema_file");
SLIPRING_ASSERT(offsetof(struct slipring_schema_file, magic) == 0, "slipring_schema_file.magic");
SLIPRING_ASSERT(offsetof(struct slipring_schema_file, kind_bytes) == 8, "slipring_schema_file.kind_bytes");
SLIPRING_ASSERT(offsetof(struct slipring_schema_file, name_bytes) == 12, "slipring_schema_file.name_bytes");
SLIPRING_ASSERT(offsetof(struct slipring_schema_file, schema_bytes) == 16, "slipring_schema_file.schema_bytes");

#endif

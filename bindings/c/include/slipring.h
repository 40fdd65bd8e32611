/*
 * Slipring for C11 and C++17: rings and other forms of communication between the processes of a machine, in shared
 * memory. The page about it is docs/guide/c.md.
 *
 * Generated from the sources of the library; a test compares the two.
 *
 * What holds for every call:
 * - It returns 0, or the number of an error (slipring/errors.h, enum slipring_binding_error). slipring_error_message and
 *   slipring_error_detail say more, in the thread that called.
 * - `timeout_ns` is in nanoseconds. 0 tries, and a negative number waits for ever.
 * - A `place` is a name in the slipring directory, or a path if it begins with `/`, `./` or `../`. Texts end with a zero
 *   byte and are UTF-8.
 * - A structure that has a `struct_size` is given with that set by sizeof; all else may be zero.
 * - A handle is closed by the call whose name ends in _close, which makes the pointer NULL. NULL is refused by all other calls,
 *   with SLIPRING_E_NULL.
 * - A handle is for one thread at a time, and may go from thread to thread. A call on a handle that another thread is in returns
 *   SLIPRING_E_BUSY, and changes nothing. Objects that handles are made from (slipring_ring, slipring_queue,
 *   slipring_mailbox, slipring_fifo, slipring_signals, slipring_latest) are for any number of threads at once. No other thread may be in
 *   a call with what is closed.
 * - A handle that was made before a fork is refused in the child.
 */


#ifndef SLIPRING_H
#define SLIPRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "slipring/errors.h"

// The errors that only a caller from C or C++ can cause or see.
typedef enum {
  // A fault of the library, which it caught. The handle of the call may be in any state: close it.
  SLIPRING_E_PANIC = 900,
  // A pointer that must not be NULL is NULL.
  SLIPRING_E_NULL = 901,
  // A pointer is no handle of this kind: it is of another kind, or was closed.
  SLIPRING_E_HANDLE = 902,
  // The `struct_size` of a structure is none that this library knows: set it with `sizeof`, and use the header of the
  // library that is loaded, or an older one.
  SLIPRING_E_STRUCT_SIZE = 903,
  // An argument has a value that is not allowed.
  SLIPRING_E_ARGUMENT = 904,
  // Another thread is in a call with this handle, or a handler of a signal interrupted one.
  SLIPRING_E_BUSY = 905,
  // The handle has lent something that was not given back.
  SLIPRING_E_LENT = 906,
  // The handle has lent nothing that could be given back.
  SLIPRING_E_NOTHING_LENT = 907,
  // The caller's memory is too small for the answer; `len` of the detail says what it takes. Nothing was taken.
  SLIPRING_E_ROOM = 908,
  // A text is not UTF-8.
  SLIPRING_E_TEXT = 909,
  // The kernel refused something; `os_error` of the detail is its number.
  SLIPRING_E_SYSTEM = 910,
  // The other end of a pipe is gone.
  SLIPRING_E_PIPE_BROKEN = 911,
  // The other end of a pipe did nothing until the deadline.
  SLIPRING_E_PIPE_TIMED_OUT = 912,
} slipring_binding_error;

// The bits of `slipring_detail.has`.
typedef enum {
  // `row` is known.
  SLIPRING_HAS_ROW = 1,
  // `pid` is known.
  SLIPRING_HAS_PID = 2,
  // `os_error` is known.
  SLIPRING_HAS_OS_ERROR = 4,
  // `max` is known.
  SLIPRING_HAS_MAX = 8,
  // `len` is known.
  SLIPRING_HAS_LEN = 16,
  // `sequence` is known.
  SLIPRING_HAS_SEQUENCE = 32,
  // `next` is known.
  SLIPRING_HAS_NEXT = 64,
  // `oldest` is known.
  SLIPRING_HAS_OLDEST = 128,
} slipring_has;

// Where a reader reads. The values of `slipring_options.read_policy`.
typedef enum {
  // Finds out by trying what makes the stream faster.
  SLIPRING_READ_AUTO = 0,
  // Reads each message at once, and neither pauses nor flushes.
  SLIPRING_READ_AT_HEAD = 1,
  // Stays `lag_bytes` behind its producer, pausing for `pause_ns`.
  SLIPRING_READ_BEHIND = 2,
} slipring_read_policy;

// What an observer received.
typedef enum {
  // A message.
  SLIPRING_RECEIVED_MESSAGE = 0,
  // The producer overtook the observer: `count` messages are lost to it.
  SLIPRING_RECEIVED_LAPPED = 1,
  // `count` sequences do not exist: the producer skipped them.
  SLIPRING_RECEIVED_SKIPPED = 2,
} slipring_received_kind;

// Where a reader begins.
typedef enum {
  // Behind the newest message: only what is published from now on.
  SLIPRING_LATEST = 0,
  // The oldest message still in the ring.
  SLIPRING_OLDEST = 1,
  // The message with the sequence that goes with it.
  SLIPRING_SEQUENCE = 2,
} slipring_start;

// How a handle waits. The values of `slipring_options.strategy`.
typedef enum {
  // Polls for 20 microseconds, then sleeps.
  SLIPRING_STRATEGY_DEFAULT = 0,
  // Polls without pause. Lowest latency; takes a whole core.
  SLIPRING_STRATEGY_SPIN = 1,
  // Polls, and yields the core to other threads between polls.
  SLIPRING_STRATEGY_YIELD = 2,
  // Polls for `spin_ns`, then sleeps.
  SLIPRING_STRATEGY_SPIN_THEN_PARK = 3,
  // Sleeps until woken.
  SLIPRING_STRATEGY_PARK = 4,
} slipring_strategy;

// A link, or an end of a named pipe, that waits for its other side. Made by the calls whose names have `_begin_`, and made the
// handle that it is for by that one of slipring_connecting_link, _reader, _writer and _ends. Waited for by its descriptor or in a wait
// set: slipring_connecting_try_meet says whether both have met. For one thread at a time.
typedef struct slipring_connecting slipring_connecting;

// A consumer of a ring. For one thread at a time.
typedef struct slipring_consumer slipring_consumer;

// An open named pipe. Any number of threads use it at once.
typedef struct slipring_fifo slipring_fifo;

// What makes an interruption ready. Any number of threads and handlers of signals use it at once.
typedef struct slipring_interrupter slipring_interrupter;

// What ends a wait of a set from outside. For one thread at a time, apart from its interrupters.
typedef struct slipring_interruption slipring_interruption;

// An open table of newest values. Any number of threads use it at once.
typedef struct slipring_latest slipring_latest;

// A reader of a table. For one thread at a time.
typedef struct slipring_latest_reader slipring_latest_reader;

// The one writer of a table. For one thread at a time.
typedef struct slipring_latest_writer slipring_latest_writer;

// One side of a link. For one thread at a time.
typedef struct slipring_link slipring_link;

// A listener. For one thread at a time.
typedef struct slipring_listener slipring_listener;

// An open mailbox. Any number of threads use it at once.
typedef struct slipring_mailbox slipring_mailbox;

// A client of a mailbox. For one thread at a time.
typedef struct slipring_mailbox_client slipring_mailbox_client;

// A receiver of a mailbox. For one thread at a time.
typedef struct slipring_mailbox_receiver slipring_mailbox_receiver;

// An observer of a ring. For one thread at a time.
typedef struct slipring_observer slipring_observer;

// Permits that were taken. For one thread at a time; it outlives its semaphore's handle.
typedef struct slipring_permit slipring_permit;

// The reading end of a pipe. For one thread at a time.
typedef struct slipring_pipe_reader slipring_pipe_reader;

// The writing end of a pipe. For one thread at a time.
typedef struct slipring_pipe_writer slipring_pipe_writer;

// The producer of a ring. For one thread at a time.
typedef struct slipring_producer slipring_producer;

// An open queue. Any number of threads use it at once.
typedef struct slipring_queue slipring_queue;

// A receiver of a queue. For one thread at a time.
typedef struct slipring_receiver slipring_receiver;

// An open ring. Any number of threads use it at once. Handles that were made from it do not need it any more.
typedef struct slipring_ring slipring_ring;

// An open semaphore. For one thread at a time: open another one for another thread.
typedef struct slipring_semaphore slipring_semaphore;

// A sender of a queue. For one thread at a time.
typedef struct slipring_sender slipring_sender;

// A shared value. For one thread at a time: open another one for another thread.
typedef struct slipring_shared slipring_shared;

// An open signals object. Any number of threads use it at once.
typedef struct slipring_signals slipring_signals;

// One listener, to send signals to. For one thread at a time.
typedef struct slipring_target slipring_target;

// Waits for several handles. For one thread at a time.
typedef struct slipring_wait_set slipring_wait_set;

// What a call returns: 0 if it succeeded, else the number of an error. Numbers from 100 to 899 are in
// `slipring/errors.h`, and stand for the same errors in every language; those from 900 on are in `enum
// slipring_binding_error`. A number never changes its meaning.
typedef uint32_t slipring_status;

// How a handle behaves. NULL in its place means all defaults, and so does zero in any member but the first. What does not apply
// to a handle is refused, unless it is zero.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // How it waits, of `enum slipring_strategy`.
  uint32_t strategy;
  // Of consumers, observers and receivers: where it reads, of `enum slipring_read_policy`.
  uint32_t read_policy;
  // With `SLIPRING_STRATEGY_SPIN_THEN_PARK`: how long it polls before each sleep, in nanoseconds.
  uint64_t spin_ns;
  // With `SLIPRING_READ_BEHIND`: how many bytes it tries to stay behind.
  uint64_t lag_bytes;
  // With `SLIPRING_READ_BEHIND`: how long it pauses, in nanoseconds.
  uint64_t pause_ns;
  // With `SLIPRING_READ_BEHIND`: 1 if it takes what it has read out of the caches.
  uint8_t flush;
  // Of producers and consumers: 1 if the side that goes to sleep pays for fences.
  uint8_t membarrier;
  // Of observers: 1 to go on at the oldest message after a lap, and not near the newest.
  uint8_t resume_at_oldest;
  // Zero.
  uint8_t reserved[5];
} slipring_options;

// A message, and what came before it. Its bytes can be read as long as they are lent.
typedef struct {
  // The bytes; not NULL, also where there are none.
  const void *data;
  // How many bytes there are.
  size_t len;
  // The number of the message.
  uint64_t sequence;
  // How many messages directly before it this reader will never get.
  uint64_t missed;
  // The first sequence of the gap directly before it: it does not exist. Meaningful if `gap_why` is not 0.
  uint64_t gap_first;
  // The first sequence behind that gap.
  uint64_t gap_end;
  // Why there is a gap: 1 lost, 2 not recorded, 3 missing from what was restored, or a code of the application; 0 if there
  // is none.
  uint32_t gap_why;
  // Zero.
  uint32_t reserved;
} slipring_message;

// How many sequences a reader did not get. The members are counts since it attached.
typedef struct {
  // Messages that the ring went on without.
  uint64_t missed;
  // Sequences that do not exist: the producer skipped them.
  uint64_t skipped;
} slipring_losses;

// The numbers of an error. `has` says which of them are known.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // The error: what the call returned.
  slipring_status code;
  // Which of the members below are known, of `enum slipring_has`.
  uint32_t has;
  // The row of the reader in the way.
  uint32_t row;
  // The process in the way.
  uint32_t pid;
  // The number that the kernel gave.
  int32_t os_error;
  // How many there can be, or how long it may be at most.
  uint64_t max;
  // How long the message is, or the memory that it takes.
  uint64_t len;
  // The message that was asked for, or that the error is about.
  uint64_t sequence;
  // The sequence of the next message.
  uint64_t next;
  // The oldest message that is left.
  uint64_t oldest;
} slipring_detail;

// The settings of a new named pipe. NULL in its place means all defaults, and so does zero in any member but the first.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // The room for bytes, of each direction; 1 MiB by default.
  uint64_t capacity_bytes;
  // The permission bits of a file; 0600 by default.
  uint32_t mode;
  // 1 for both directions.
  uint8_t both_ways;
  // Zero.
  uint8_t reserved[3];
} slipring_fifo_options;

// The state of a named pipe at some moment.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // The room for bytes, of each direction.
  uint64_t capacity_bytes;
  // The processes that have an end open; 0 for none.
  uint32_t ends[2];
  // 1 for both directions.
  uint8_t both_ways;
  // Zero.
  uint8_t reserved[7];
} slipring_fifo_state;

// The settings of a new table of newest values. Zero means the default in any member but the first and the schema.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // What a value is made of, as text: `Quote{bid:f64,ask:f64}`. It says how large a value is.
  const char *schema;
  // How many values there are; 1 by default.
  uint32_t cells;
  // How many readers that may sleep there can be at once; 32 by default.
  uint32_t max_readers;
  // The permission bits of a file; 0600 by default.
  uint32_t mode;
  // Zero.
  uint32_t reserved;
} slipring_latest_options;

// The state of a table at some moment.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // How often any of the values was set.
  uint64_t changes;
  // How many bytes a value has.
  uint32_t value_bytes;
  // How many values there are.
  uint32_t cells;
  // The process of the last writer; 0 if there was none.
  uint32_t writer_pid;
  // Readers that are alive and may sleep.
  uint32_t readers;
  // 1 if it is known whether a writer is alive.
  uint8_t has_writer_alive;
  // 1 if a writer is alive.
  uint8_t writer_alive;
  // Zero.
  uint8_t reserved[6];
} slipring_latest_state;

// The settings of a new mailbox. NULL in its place means all defaults, and so does zero in any member but the first.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // How many letters each client can be ahead.
  uint32_t depth;
  // The size of the largest letter and reply.
  uint32_t max_message_bytes;
  // How many clients there can be at once.
  uint32_t max_clients;
  // How many receivers there can be at once.
  uint32_t max_receivers;
  // The permission bits of a file; 0600 by default.
  uint32_t mode;
  // 1 for letters only, without requests.
  uint8_t one_way;
  // Zero.
  uint8_t reserved[3];
} slipring_mailbox_options;

// The state of a mailbox at some moment.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // Letters that wait.
  uint64_t waiting;
  // Letters that receivers hold.
  uint64_t held;
  // Replies for which their clients no longer waited.
  uint64_t late;
  // The size of the largest letter and reply.
  uint32_t max_message_bytes;
  // Clients that are alive.
  uint32_t clients;
  // Receivers that are alive.
  uint32_t receivers;
  // 1 if it carries letters only.
  uint8_t one_way;
  // Zero.
  uint8_t reserved[3];
} slipring_mailbox_state;

// A letter, in place until it is acknowledged, answered or returned.
typedef struct {
  // The bytes.
  const void *data;
  // How many bytes there are.
  size_t len;
  // How often it was taken, this time included.
  uint32_t tries;
  // 1 if its client waits for a reply.
  uint8_t wants_reply;
  // 1 if it was taken before.
  uint8_t redelivered;
  // Zero.
  uint8_t reserved[2];
} slipring_letter;

// A message, a loss or a gap.
typedef struct {
  // Which of the three, of `enum slipring_received_kind`.
  uint32_t kind;
  // Of a gap: why, as in `slipring_message.gap_why`.
  uint32_t why;
  // Of a loss and a gap: how many sequences.
  uint64_t count;
  // Of a loss and a gap: the sequence that comes next.
  uint64_t resumed_at;
  // The message, in memory of the observer, until its next call. Of a loss and a gap it has no bytes.
  slipring_message message;
} slipring_received;

// The settings of a new queue. NULL in its place means all defaults, and so does zero in any member but the first.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // How many messages each sender can be ahead, for each priority.
  uint32_t depth;
  // The size of the largest message.
  uint32_t max_message_bytes;
  // How many receivers there can be at once.
  uint32_t max_receivers;
  // The permission bits of a file; 0600 by default.
  uint32_t mode;
  // A bound of the bytes of a lane; none by default.
  uint64_t lane_bytes;
  // How long a live receiver may hold a message, in nanoseconds; without limit by default.
  uint64_t lease_ns;
} slipring_queue_options;

// The state of a queue at some moment.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // Messages that wait.
  uint64_t waiting;
  // Messages that receivers hold.
  uint64_t held;
  // The lease in nanoseconds; 0 for none.
  uint64_t lease_ns;
  // How many messages each sender can be ahead, for each priority.
  uint32_t depth;
  // The size of the largest message.
  uint32_t max_message_bytes;
  // Senders that are alive.
  uint32_t senders;
  // Receivers that are alive.
  uint32_t receivers;
} slipring_queue_state;

// One receiver of a queue.
typedef struct {
  // How many messages it holds.
  uint64_t held;
  // Its row.
  uint32_t row;
  // Its process.
  uint32_t pid;
  // 1 if it is alive.
  uint8_t alive;
  // Zero.
  uint8_t reserved[7];
} slipring_receiver_state;

// A message of a queue, in place until it is acknowledged or returned.
typedef struct {
  // The bytes.
  const void *data;
  // How many bytes there are.
  size_t len;
  // Its number in its lane.
  uint64_t sequence;
  // Its lane.
  uint32_t lane;
  // How often it was taken, this time included.
  uint32_t tries;
  // Its priority.
  uint8_t priority;
  // 1 if it was taken before.
  uint8_t redelivered;
  // Zero.
  uint8_t reserved[6];
} slipring_delivery;

// The settings of a new ring. NULL in its place means all defaults, and so does zero in any member but the first.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // The room for messages in bytes: a power of two from 4096; 1 MiB by default.
  uint64_t capacity_bytes;
  // The sequence of the first message.
  uint64_t first_sequence;
  // How long a consumer may hold the producer back before it is evicted, in nanoseconds; without limit by default.
  uint64_t evict_after_ns;
  // 8, or 64 for the latency of small messages; 8 by default.
  uint32_t frame_align;
  // How many consumers, and observers that may sleep, there can be at once; 32 by default.
  uint32_t max_readers;
  // The permission bits of a file; 0600 by default.
  uint32_t mode;
  // 1 if each message carries the time at which it was published.
  uint8_t stamps;
  // 1 for huge pages.
  uint8_t huge_pages;
  // 1 if pages are not mapped before they are used.
  uint8_t no_populate;
  // 1 if pages stay in memory.
  uint8_t lock_memory;
  // The schema of the messages as text, such as `Quote{time_ns:u64,bid:f64}`; none by default.
  const char *schema;
  // The kind of a schema of another system, as `sbe`; none by default.
  const char *opaque_kind;
  // Its name.
  const char *opaque_name;
  // Its bytes.
  const void *opaque_data;
  // How many bytes it has.
  size_t opaque_len;
} slipring_ring_options;

// The state of a ring at some moment. `has` of unknown numbers is 0.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // The room for messages in bytes.
  uint64_t capacity_bytes;
  // The sequence of the next message; meaningful if `has_sequences` is 1.
  uint64_t next_sequence;
  // The oldest message still in the ring; meaningful if `has_sequences` is 1.
  uint64_t oldest_sequence;
  // How many producers there have been.
  uint64_t epoch;
  // The first message of the latest producer.
  uint64_t epoch_first_sequence;
  // How often the producer went on without a consumer.
  uint64_t evictions;
  // How many messages all readers missed; meaningful if `has_losses` is 1.
  uint64_t messages_lost;
  // The process of the last producer; 0 if there was none.
  uint32_t producer_pid;
  // The size of the largest message.
  uint32_t max_message_bytes;
  // How many readers there can be at once.
  uint32_t max_readers;
  // How many readers there are.
  uint32_t readers;
  // 1 if the two sequences are known: the producer did not overtake every attempt to read them.
  uint8_t has_sequences;
  // 1 if the losses are known: this user may consume.
  uint8_t has_losses;
  // 1 if it is known whether the producer is alive.
  uint8_t has_producer_alive;
  // 1 if a producer is attached.
  uint8_t producer_alive;
  // 1 if the last producer closed the ring.
  uint8_t closed;
  // Zero.
  uint8_t reserved[3];
} slipring_ring_state;

// One reader of a ring.
typedef struct {
  // The message it will read next; meaningful if `has_next_sequence` is 1.
  uint64_t next_sequence;
  // How many messages it missed since it took the row.
  uint64_t messages_lost;
  // Its row.
  uint32_t row;
  // Its process.
  uint32_t pid;
  // 1 if `next_sequence` is known.
  uint8_t has_next_sequence;
  // 1 if it holds the producer back.
  uint8_t gating;
  // 1 if it was evicted and has not noticed yet.
  uint8_t evicted;
  // 1 if it is alive.
  uint8_t alive;
  // The name of its durable cursor, with a zero byte; empty for none, and cut at 67 bytes.
  char cursor[68];
} slipring_reader_state;

// The settings of a new semaphore. NULL in its place means all defaults, and so does zero in any member but the first.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // How many permits there are; 1 by default.
  uint32_t permits;
  // How many there can be; as many as there are by default.
  uint32_t max_permits;
  // How many handles can be open at once.
  uint32_t max_handles;
  // The permission bits of a file; 0600 by default.
  uint32_t mode;
} slipring_semaphore_options;

// The state of a semaphore at some moment.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // Permits that are free.
  uint32_t free;
  // Permits that are held.
  uint32_t held;
  // Permits that are out of use.
  uint32_t retired;
  // How many there can be.
  uint32_t max;
  // Handles that are open.
  uint32_t handles;
  // Zero.
  uint32_t reserved;
} slipring_semaphore_state;

// The settings of a new shared value. Zero means the default in any member but the first and the schema.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // What the value is made of, as text: `Account{balance:i64}`. It says how large it is.
  const char *schema;
  // How many handles can be open at once.
  uint32_t max_handles;
  // Zero.
  uint32_t reserved;
} slipring_shared_options;

// The state of a shared value at some moment.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // How often it was changed.
  uint64_t version;
  // The process that holds the lock; 0 for none.
  uint32_t holder;
  // Handles that are open.
  uint32_t handles;
} slipring_shared_state;

// The settings of a new signals object. NULL in its place means all defaults, and so does zero in any member but the first.
typedef struct {
  // The size of this structure: set by the caller, with `sizeof`.
  size_t struct_size;
  // How many listeners there can be at once.
  uint32_t max_listeners;
  // The permission bits of a file; 0600 by default.
  uint32_t mode;
} slipring_signals_options;

// The call succeeded.
#define SLIPRING_OK 0

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Begins to connect a link, as slipring_link_connect, and does not wait for the other side: for event loops. This process has its name
// from now on, until what was made is closed.
slipring_status slipring_link_begin_connect(const char *me,
                                            const char *peer,
                                            const char *directory,
                                            uint64_t capacity_bytes,
                                            const slipring_options *options,
                                            slipring_connecting **connecting);

// Begins to wait for the next process of the other name, as slipring_link_reconnect, and does not wait itself. The link becomes what
// waits: its pointer is made NULL, its descriptor is that of `connecting`, and this process keeps its name. After an error the link is as
// it was: `SLIPRING_E_LENT` if it has lent a message.
slipring_status slipring_link_begin_reconnect(slipring_link **link,
                                              slipring_connecting **connecting);

// Begins to open the reading end, as slipring_fifo_reader, and does not wait for a writer. This process is the reader from now on, until
// what was made is closed.
slipring_status slipring_fifo_begin_reader(const slipring_fifo *fifo,
                                           const slipring_options *options,
                                           slipring_connecting **connecting);

// Begins to open the writing end, as slipring_fifo_begin_reader the other one.
slipring_status slipring_fifo_begin_writer(const slipring_fifo *fifo,
                                           const slipring_options *options,
                                           slipring_connecting **connecting);

// Begins to open a side of a named pipe that goes both ways, as slipring_fifo_connect, and does not wait for the other side.
slipring_status slipring_fifo_begin_connect(const slipring_fifo *fifo,
                                            const slipring_options *options,
                                            slipring_connecting **connecting);

// Does what there is to do now, without waiting, and says whether both sides have met: then the call that makes it a link or an end
// does not wait. After an error it can be called again.
slipring_status slipring_connecting_try_meet(slipring_connecting *connecting,
                                             bool *met);

// Gives it a descriptor, as slipring_consumer_fd. The link or the reading end that it becomes has the same one.
slipring_status slipring_connecting_fd(slipring_connecting *connecting,
                                       int32_t *fd);

// Says whether slipring_connecting_try_meet has something to do, as slipring_consumer_arm.
slipring_status slipring_connecting_arm(slipring_connecting *connecting, bool *ready);

// Makes it a link, and waits for the other side where the two have not met. `connecting` is closed, and its pointer made NULL, also by
// an error: `SLIPRING_E_LINK_TIMED_OUT` after the timeout, `SLIPRING_E_LINK_FORKED`, `SLIPRING_E_LINK_REMOVED` and the others of
// slipring_link_connect leave the other side to the next process. Only what is refused before it waits (`SLIPRING_E_NULL`, `_HANDLE`,
// `_BUSY`, and `_ARGUMENT` if it will be no link) leaves `connecting` as it was.
slipring_status slipring_connecting_link(slipring_connecting **connecting,
                                         int64_t timeout_ns,
                                         slipring_link **link);

// Makes it the reading end of a named pipe, as slipring_connecting_link a link. The errors are those of slipring_fifo_reader:
// `SLIPRING_E_PIPE_TIMED_OUT` after the timeout.
slipring_status slipring_connecting_reader(slipring_connecting **connecting,
                                           int64_t timeout_ns,
                                           slipring_pipe_reader **reader);

// Makes it the writing end of a named pipe, as slipring_connecting_reader the other one. Its descriptor is closed.
slipring_status slipring_connecting_writer(slipring_connecting **connecting,
                                           int64_t timeout_ns,
                                           slipring_pipe_writer **writer);

// Makes it both ends of a named pipe that goes both ways, as slipring_connecting_reader one of them.
slipring_status slipring_connecting_ends(slipring_connecting **connecting,
                                         int64_t timeout_ns,
                                         slipring_pipe_reader **reader,
                                         slipring_pipe_writer **writer);

// Closes what waits, and makes the pointer NULL. Its side is free then, and the other side goes on to wait for the next process. In a
// forked child that changes nothing for the parent.
slipring_status slipring_connecting_close(slipring_connecting **connecting);

// Receives a message in place. It stays where it is until slipring_consumer_release, and until then every other call but
// slipring_consumer_close returns `SLIPRING_E_LENT`. At the end of the ring the status is `SLIPRING_E_TRY_RECEIVE_CLOSED`, with any
// timeout.
slipring_status slipring_consumer_receive(slipring_consumer *consumer,
                                          int64_t timeout_ns,
                                          slipring_message *message);

// Gives back a message, or a batch: the producer may use the space, and a durable consumer has done with it.
slipring_status slipring_consumer_release(slipring_consumer *consumer);

// Receives a copy of a message, which is given back at once. If `size` is too small the status is `SLIPRING_E_ROOM`, `message->len`
// says what it takes, and the next call receives the same message. `message->data` is `buffer`.
slipring_status slipring_consumer_receive_copy(slipring_consumer *consumer,
                                               int64_t timeout_ns,
                                               void *buffer,
                                               size_t size,
                                               slipring_message *message);

// Receives up to `room` messages, which are given back together by slipring_consumer_release. Waits for the first only. The
// messages lie in the ring, or in memory of the consumer where the ring may overwrite them. `count` is how many there
// are.
slipring_status slipring_consumer_receive_batch(slipring_consumer *consumer,
                                                int64_t timeout_ns,
                                                slipring_message *messages,
                                                size_t room,
                                                size_t *count);

// Says how many sequences the consumer did not get.
slipring_status slipring_consumer_losses(slipring_consumer *consumer, slipring_losses *losses);

// Says where a consumer stands: the sequence it receives next, how many bytes it is behind, and its row. Each may be NULL.
slipring_status slipring_consumer_place(slipring_consumer *consumer,
                                        uint64_t *next_sequence,
                                        uint64_t *lag_bytes,
                                        uint32_t *row);

// Says once that another producer took over: how many there have been, and its first message. `number` is 0 if there is
// nothing to say.
slipring_status slipring_consumer_new_epoch(slipring_consumer *consumer,
                                            uint64_t *number,
                                            uint64_t *first_sequence);

// Waits for the next producer, once the last one has ended.
slipring_status slipring_consumer_wait_for_producer(slipring_consumer *consumer, int64_t timeout_ns);

// Gives the consumer a descriptor, which becomes readable when there is something to receive after slipring_consumer_arm. It
// belongs to the consumer: the caller polls it, and neither reads, writes nor closes it.
slipring_status slipring_consumer_fd(slipring_consumer *consumer,
                                     int32_t *fd);

// Says whether there is something to receive. If not, the descriptor becomes readable when there is. A loop goes round like this: poll
// until the descriptor is readable; receive with a timeout of 0 until nothing is there; arm, and receive again if that
// says so.
slipring_status slipring_consumer_arm(slipring_consumer *consumer,
                                      bool *ready);

// Closes a consumer, and makes the pointer NULL. What it has lent is given back; the messages of a batch too.
slipring_status slipring_consumer_close(slipring_consumer **consumer);

// Returns what the last error of this thread says: one sentence with what, where, and what to do. The text is UTF-8, and
// stays until the next call that fails in this thread; it is empty if none has failed. A call that succeeds leaves
// it.
const char *slipring_error_message(void);

// Writes the numbers of the last error of this thread, and 0 as its code if no call has failed. `struct_size` of `detail` is
// set by the caller.
slipring_status slipring_error_detail(slipring_detail *detail);

// Creates a named pipe and opens it.
slipring_status slipring_fifo_create(const char *place,
                                     const slipring_fifo_options *options,
                                     slipring_fifo **fifo);

// Opens a named pipe, or creates it if there is none. One that exists keeps its settings.
slipring_status slipring_fifo_create_or_open(const char *place,
                                             const slipring_fifo_options *options,
                                             slipring_fifo **fifo);

// Opens a named pipe, waiting until there is one. With a timeout of 0 it does not wait.
slipring_status slipring_fifo_open(const char *place, int64_t timeout_ns, slipring_fifo **fifo);

// Closes a named pipe, and makes the pointer NULL. Its ends stay open.
slipring_status slipring_fifo_close(slipring_fifo **fifo);

// Removes a named pipe. It is refused while an end is open.
slipring_status slipring_fifo_remove(const char *place);

// Opens the reading end, and waits for a writer.
slipring_status slipring_fifo_reader(const slipring_fifo *fifo,
                                     const slipring_options *options,
                                     int64_t timeout_ns,
                                     slipring_pipe_reader **reader);

// Opens the writing end, and waits for a reader.
slipring_status slipring_fifo_writer(const slipring_fifo *fifo,
                                     const slipring_options *options,
                                     int64_t timeout_ns,
                                     slipring_pipe_writer **writer);

// Opens a side of a named pipe that goes both ways, and waits for the other side.
slipring_status slipring_fifo_connect(const slipring_fifo *fifo,
                                      const slipring_options *options,
                                      int64_t timeout_ns,
                                      slipring_pipe_reader **reader,
                                      slipring_pipe_writer **writer);

// Writes the state of a named pipe.
slipring_status slipring_fifo_status(const slipring_fifo *fifo, slipring_fifo_state *state);

// Creates a table of newest values and opens it.
slipring_status slipring_latest_create(const char *place,
                                       const slipring_latest_options *options,
                                       slipring_latest **latest);

// Opens a table, or creates it if there is none. The schema of one that exists has to agree.
slipring_status slipring_latest_create_or_open(const char *place,
                                               const slipring_latest_options *options,
                                               slipring_latest **latest);

// Opens a table, waiting until there is one. With a timeout of 0 it does not wait. Whatever its values are it is opened:
// slipring_latest_schema says that, and slipring_latest_status how large they are.
slipring_status slipring_latest_open(const char *place,
                                     int64_t timeout_ns,
                                     slipring_latest **latest);

// Closes a table, and makes the pointer NULL. Its writer and readers stay open.
slipring_status slipring_latest_close(slipring_latest **latest);

// Removes a table. It is refused while a writer is attached, or a reader that may sleep.
slipring_status slipring_latest_remove(const char *place);

// Copies what the values are made of as text, as slipring_ring_schema.
slipring_status slipring_latest_schema(const slipring_latest *latest, char *text, size_t size, size_t *len);

// Writes the state of a table.
slipring_status slipring_latest_status(const slipring_latest *latest, slipring_latest_state *state);

// Becomes the one writer of a table.
slipring_status slipring_latest_new_writer(const slipring_latest *latest, slipring_latest_writer **writer);

// Becomes a reader of a table.
slipring_status slipring_latest_new_reader(const slipring_latest *latest,
                                           const slipring_options *options,
                                           slipring_latest_reader **reader);

// Sets a value, of which `len` is the size. `version` is how often it was set, and may be NULL.
slipring_status slipring_latest_writer_set(slipring_latest_writer *writer,
                                           uint32_t cell,
                                           const void *value,
                                           size_t len,
                                           uint64_t *version);

// Closes a writer, and makes the pointer NULL. The values stay.
slipring_status slipring_latest_writer_close(slipring_latest_writer **writer);

// Copies a value, and says how often it was set. A value that was never set has the version 0, and nothing is copied.
slipring_status slipring_latest_reader_get(slipring_latest_reader *reader,
                                           uint32_t cell,
                                           void *value,
                                           size_t size,
                                           uint64_t *version);

// Waits until a value has another version than this one.
slipring_status slipring_latest_reader_wait_at(slipring_latest_reader *reader,
                                               uint32_t cell,
                                               uint64_t version,
                                               int64_t timeout_ns);

// Waits until any value was set since the last such wait, or since the reader was made.
slipring_status slipring_latest_reader_wait(slipring_latest_reader *reader, int64_t timeout_ns);

// Gives the reader a descriptor, as slipring_consumer_fd.
slipring_status slipring_latest_reader_fd(slipring_latest_reader *reader, int32_t *fd);

// Says whether a value was set since this was last said, as slipring_consumer_arm.
slipring_status slipring_latest_reader_arm(slipring_latest_reader *reader, bool *ready);

// Closes a reader, and makes the pointer NULL.
slipring_status slipring_latest_reader_close(slipring_latest_reader **reader);

// Connects to a process by its name, and waits until it connects too. The side that comes first makes the link, with
// `capacity_bytes` for each direction; 0 for the default. `directory` is where the link lies: NULL for the slipring
// directory.
slipring_status slipring_link_connect(const char *me,
                                      const char *peer,
                                      const char *directory,
                                      uint64_t capacity_bytes,
                                      const slipring_options *options,
                                      int64_t timeout_ns,
                                      slipring_link **link);

// Removes a link that lies in the slipring directory. It is refused while a side is connected.
slipring_status slipring_link_remove(const char *one, const char *other);

// Sends a copy of `len` bytes. `sequence` may be NULL.
slipring_status slipring_link_send(slipring_link *link,
                                   const void *data,
                                   size_t len,
                                   int64_t timeout_ns,
                                   uint64_t *sequence);

// Receives a message in place. Until slipring_link_release every other call but slipring_link_close returns
// `SLIPRING_E_LENT`. `SLIPRING_E_LINK_PEER_GONE` says that the other side is gone and everything it sent was received.
slipring_status slipring_link_receive(slipring_link *link,
                                      int64_t timeout_ns,
                                      slipring_message *message);

// Gives back a message.
slipring_status slipring_link_release(slipring_link *link);

// Waits for the next process of the other name.
slipring_status slipring_link_reconnect(slipring_link *link, int64_t timeout_ns);

// Says which process the other side is, and how long a message can be. Each may be NULL.
slipring_status slipring_link_peer(slipring_link *link, uint32_t *pid, uint32_t *max_message_bytes);

// Gives the link a descriptor, as slipring_consumer_fd.
slipring_status slipring_link_fd(slipring_link *link, int32_t *fd);

// Says whether there is something to receive, as slipring_consumer_arm.
slipring_status slipring_link_arm(slipring_link *link, bool *ready);

// Closes this side of a link, and makes the pointer NULL. The other side receives what was sent.
slipring_status slipring_link_close(slipring_link **link);

// Creates a mailbox and opens it.
slipring_status slipring_mailbox_create(const char *place,
                                        const slipring_mailbox_options *options,
                                        slipring_mailbox **mailbox);

// Opens a mailbox, or creates it if there is none. One that exists keeps its settings.
slipring_status slipring_mailbox_create_or_open(const char *place,
                                                const slipring_mailbox_options *options,
                                                slipring_mailbox **mailbox);

// Opens a mailbox, waiting until there is one. With a timeout of 0 it does not wait.
slipring_status slipring_mailbox_open(const char *place, int64_t timeout_ns, slipring_mailbox **mailbox);

// Closes a mailbox, and makes the pointer NULL. Its clients and receivers stay open.
slipring_status slipring_mailbox_close(slipring_mailbox **mailbox);

// Removes a mailbox. It is refused while a process is attached.
slipring_status slipring_mailbox_remove(const char *place);

// Writes the state of a mailbox.
slipring_status slipring_mailbox_status(const slipring_mailbox *mailbox, slipring_mailbox_state *state);

// Becomes a client with a name, which no other live client has.
slipring_status slipring_mailbox_new_client(const slipring_mailbox *mailbox,
                                            const char *name,
                                            const slipring_options *options,
                                            slipring_mailbox_client **client);

// Adds a receiver.
slipring_status slipring_mailbox_new_receiver(const slipring_mailbox *mailbox,
                                              const slipring_options *options,
                                              slipring_mailbox_receiver **receiver);

// Sends a letter that wants no reply.
slipring_status slipring_mailbox_client_send(slipring_mailbox_client *client,
                                             const void *data,
                                             size_t len,
                                             int64_t timeout_ns);

// Sends a request and waits for its reply, which stays where it is until slipring_mailbox_client_release. A request ends
// in one way: a reply, `SLIPRING_E_REQUEST_PEER_GONE` or `SLIPRING_E_REQUEST_TIMED_OUT`.
slipring_status slipring_mailbox_client_request(slipring_mailbox_client *client,
                                                const void *data,
                                                size_t len,
                                                int64_t timeout_ns,
                                                const void **reply,
                                                size_t *reply_len);

// Gives back a reply.
slipring_status slipring_mailbox_client_release(slipring_mailbox_client *client);

// Closes a client, and makes the pointer NULL. The letters that it sent stay.
slipring_status slipring_mailbox_client_close(slipring_mailbox_client **client);

// Receives a letter. Until slipring_mailbox_receiver_ack, slipring_mailbox_receiver_reply or
// slipring_mailbox_receiver_return every call but those, slipring_mailbox_receiver_sender and
// slipring_mailbox_receiver_close returns `SLIPRING_E_LENT`.
slipring_status slipring_mailbox_receiver_receive(slipring_mailbox_receiver *receiver,
                                                  int64_t timeout_ns,
                                                  slipring_letter *letter);

// Copies the name of the client that sent the letter, with a zero byte, and says how long it is without that. A name is at most 64
// bytes long; `len` may be NULL.
slipring_status slipring_mailbox_receiver_sender(slipring_mailbox_receiver *receiver,
                                                 char *name,
                                                 size_t size,
                                                 size_t *len);

// Answers the letter that was received, and has done with it. `late` becomes `true` if its client no longer waited; it may be NULL.
// If the reply fails the letter returns to the mailbox.
slipring_status slipring_mailbox_receiver_reply(slipring_mailbox_receiver *receiver,
                                                const void *data,
                                                size_t len,
                                                bool *late);

// Has done with the letter that was received.
slipring_status slipring_mailbox_receiver_ack(slipring_mailbox_receiver *receiver);

// Returns the letter that was received to the mailbox, where it is marked as redelivered.
slipring_status slipring_mailbox_receiver_return(slipring_mailbox_receiver *receiver);

// Gives the receiver a descriptor, as slipring_consumer_fd.
slipring_status slipring_mailbox_receiver_fd(slipring_mailbox_receiver *receiver, int32_t *fd);

// Says whether there may be a letter, as slipring_consumer_arm. Another receiver may be faster.
slipring_status slipring_mailbox_receiver_arm(slipring_mailbox_receiver *receiver, bool *ready);

// Closes a receiver, and makes the pointer NULL. A letter that it holds returns to the mailbox.
slipring_status slipring_mailbox_receiver_close(slipring_mailbox_receiver **receiver);

// Receives a message, a loss or a gap. Between two messages every loss is told, with the exact number. At the end of the ring the
// status is `SLIPRING_E_TRY_RECEIVE_CLOSED`.
slipring_status slipring_observer_receive(slipring_observer *observer,
                                          int64_t timeout_ns,
                                          slipring_received *received);

// Says what an observer has counted since its start: received, lost and skipped add up to all sequences. Each may be NULL.
slipring_status slipring_observer_counts(slipring_observer *observer,
                                         uint64_t *received,
                                         uint64_t *lost,
                                         uint64_t *skipped);

// Says where an observer stands: the sequence it receives next, and how many bytes it is behind. Each may be NULL.
slipring_status slipring_observer_place(slipring_observer *observer,
                                        uint64_t *next_sequence,
                                        uint64_t *lag_bytes);

// Says once that another producer took over, as slipring_consumer_new_epoch.
slipring_status slipring_observer_new_epoch(slipring_observer *observer,
                                            uint64_t *number,
                                            uint64_t *first_sequence);

// Waits for the next producer, once the last one has ended.
slipring_status slipring_observer_wait_for_producer(slipring_observer *observer, int64_t timeout_ns);

// Gives the observer a descriptor, as slipring_consumer_fd.
slipring_status slipring_observer_fd(slipring_observer *observer, int32_t *fd);

// Says whether there is something to receive, as slipring_consumer_arm.
slipring_status slipring_observer_arm(slipring_observer *observer, bool *ready);

// Closes an observer, and makes the pointer NULL.
slipring_status slipring_observer_close(slipring_observer **observer);

// Makes a pipe within this process, with `capacity_bytes`; 0 for 1 MiB.
slipring_status slipring_pipe_create(uint64_t capacity_bytes,
                                     const slipring_options *options,
                                     slipring_pipe_reader **reader,
                                     slipring_pipe_writer **writer);

// Starts a program with pipes in both directions, of which this process has the ends `reader` and `writer`, and the program
// those that slipring_pipe_inherited gives it, or `Duplex::inherited` in Rust. `arguments` ends with NULL, and begins with the program,
// which is looked for in `PATH`. `pid` is its process: the caller waits for its end, as by waitpid.
slipring_status slipring_pipe_spawn(const char *const *arguments,
                                    const char *name,
                                    uint64_t capacity_bytes,
                                    const slipring_options *options,
                                    slipring_pipe_reader **reader,
                                    slipring_pipe_writer **writer,
                                    int32_t *pid);

// Takes the pipes in both directions that the parent handed on under a name.
slipring_status slipring_pipe_inherited(const char *name,
                                        const slipring_options *options,
                                        slipring_pipe_reader **reader,
                                        slipring_pipe_writer **writer);

// Reads up to `size` bytes, and says how many came: 0 is the end of the stream.
slipring_status slipring_pipe_reader_read(slipring_pipe_reader *reader,
                                          void *buffer,
                                          size_t size,
                                          int64_t timeout_ns,
                                          size_t *came);

// Lends the bytes that are there, until the next call on the reader: none are the end of the stream.
slipring_status slipring_pipe_reader_peek(slipring_pipe_reader *reader,
                                          int64_t timeout_ns,
                                          const void **data,
                                          size_t *len);

// Has done with the first `len` of the bytes that slipring_pipe_reader_peek lent.
slipring_status slipring_pipe_reader_consume(slipring_pipe_reader *reader, size_t len);

// Gives the reader a descriptor, as slipring_consumer_fd.
slipring_status slipring_pipe_reader_fd(slipring_pipe_reader *reader, int32_t *fd);

// Says whether there are bytes, or an end, as slipring_consumer_arm.
slipring_status slipring_pipe_reader_arm(slipring_pipe_reader *reader, bool *ready);

// Closes the reading end, and makes the pointer NULL. The writer is told at its next write.
slipring_status slipring_pipe_reader_close(slipring_pipe_reader **reader);

// Writes `len` bytes, and says how many were written, which are fewer if the status is not 0; `written` may be NULL. The timeout is for
// all of them.
slipring_status slipring_pipe_writer_write(slipring_pipe_writer *writer,
                                           const void *data,
                                           size_t len,
                                           int64_t timeout_ns,
                                           size_t *written);

// Closes the writing end, and makes the pointer NULL. The reader gets what was written, and then the end of the stream.
slipring_status slipring_pipe_writer_close(slipring_pipe_writer **writer);

// Publishes a copy of `len` bytes. Waits while the slowest consumer is a whole ring behind. `sequence` is that of the
// message, and may be NULL.
slipring_status slipring_producer_publish(slipring_producer *producer,
                                          const void *data,
                                          size_t len,
                                          int64_t timeout_ns,
                                          uint64_t *sequence);

// Lends the space of a message of `len` bytes, to be written by the caller and then given back by
// slipring_producer_commit or slipring_producer_abort. Until then every other call but slipring_producer_close returns
// `SLIPRING_E_LENT`. What the space holds before it is written is not specified.
slipring_status slipring_producer_claim(slipring_producer *producer,
                                        size_t len,
                                        int64_t timeout_ns,
                                        void **data);

// Publishes the first `len` bytes of what was claimed. In a ring with a schema all of it is published. More than was claimed
// is refused, and the claim stays.
slipring_status slipring_producer_commit(slipring_producer *producer,
                                         size_t len,
                                         uint64_t *sequence);

// Gives back what was claimed, or a batch: it leaves no trace.
slipring_status slipring_producer_abort(slipring_producer *producer);

// Says that the sequences from the next one up to `to` do not exist: `why` is 1 if they were lost, 2 not recorded, 3
// missing from what was restored, and any other number is a code of the application. `skipped` is how many these are, and may
// be NULL.
slipring_status slipring_producer_skip_to(slipring_producer *producer,
                                          uint64_t to,
                                          uint32_t why,
                                          int64_t timeout_ns,
                                          uint64_t *skipped);

// Waits until the ring has so many readers, and says how many there are. `found` may be NULL.
slipring_status slipring_producer_wait_for_readers(slipring_producer *producer,
                                                   uint32_t readers,
                                                   int64_t timeout_ns,
                                                   uint32_t *found);

// Says which sequence the next message has.
slipring_status slipring_producer_next_sequence(slipring_producer *producer, uint64_t *sequence);

// Gives the producer a descriptor, which becomes readable when there may be room again after slipring_producer_arm.
// It belongs to the producer: the caller polls it, and neither reads, writes nor closes it.
slipring_status slipring_producer_fd(slipring_producer *producer,
                                     int32_t *fd);

// Says whether there is room for a message of `len` bytes. Where there is none, the descriptor becomes readable when it is
// worth trying again.
slipring_status slipring_producer_arm(slipring_producer *producer,
                                      size_t len,
                                      bool *ready);

// Closes the ring: readers get everything that was published, and then the end. What was claimed and not committed
// leaves no trace. The pointer becomes NULL.
slipring_status slipring_producer_close(slipring_producer **producer);

// Leaves the ring without closing it: readers wait for the next producer. The pointer becomes NULL.
slipring_status slipring_producer_detach(slipring_producer **producer);

// Begins a batch: messages that become visible together. Until slipring_producer_batch_commit or
// slipring_producer_abort only slipring_producer_batch_push may be called.
slipring_status slipring_producer_batch(slipring_producer *producer);

// Adds a copy of a message to the batch. A batch takes half of the ring: `SLIPRING_E_PUBLISH_BATCH_FULL` says to commit it
// and go on.
slipring_status slipring_producer_batch_push(slipring_producer *producer,
                                             const void *data,
                                             size_t len,
                                             int64_t timeout_ns,
                                             uint64_t *sequence);

// Publishes the batch, and says how many messages it had. `count` may be NULL.
slipring_status slipring_producer_batch_commit(slipring_producer *producer, uint64_t *count);

// Publishes `count` messages of `len` bytes each, which lie one behind the other, in as many batches as it takes. Says how many
// were published, which may be fewer if the deadline passes or another error comes; `published` may be NULL.
slipring_status slipring_producer_publish_array(slipring_producer *producer,
                                                const void *data,
                                                size_t len,
                                                size_t count,
                                                int64_t timeout_ns,
                                                size_t *published);

// Creates a queue and opens it.
slipring_status slipring_queue_create(const char *place,
                                      const slipring_queue_options *options,
                                      slipring_queue **queue);

// Opens a queue, or creates it if there is none. One that exists keeps its settings.
slipring_status slipring_queue_create_or_open(const char *place,
                                              const slipring_queue_options *options,
                                              slipring_queue **queue);

// Opens a queue, waiting until there is one. With a timeout of 0 it does not wait.
slipring_status slipring_queue_open(const char *place, int64_t timeout_ns, slipring_queue **queue);

// Closes a queue, and makes the pointer NULL. Its senders and receivers stay open.
slipring_status slipring_queue_close(slipring_queue **queue);

// Removes a queue. It is refused while a process is attached.
slipring_status slipring_queue_remove(const char *place);

// Writes the state of a queue.
slipring_status slipring_queue_status(const slipring_queue *queue, slipring_queue_state *state);

// Copies the state of as many receivers as there is room for, and says how many there are.
slipring_status slipring_queue_receivers(const slipring_queue *queue,
                                         slipring_receiver_state *receivers,
                                         size_t room,
                                         size_t *count);

// Adds a sender.
slipring_status slipring_queue_sender(const slipring_queue *queue,
                                      const slipring_options *options,
                                      slipring_sender **sender);

// Adds a receiver.
slipring_status slipring_queue_receiver(const slipring_queue *queue,
                                        const slipring_options *options,
                                        slipring_receiver **receiver);

// Sends a copy of `len` bytes with a priority from 0 to 7, higher first. Waits while the receivers are as many messages behind
// as the queue is deep. `sequence` may be NULL.
slipring_status slipring_sender_send(slipring_sender *sender,
                                     const void *data,
                                     size_t len,
                                     uint8_t priority,
                                     int64_t timeout_ns,
                                     uint64_t *sequence);

// Closes a sender, and makes the pointer NULL. What it has sent stays.
slipring_status slipring_sender_close(slipring_sender **sender);

// Receives a message. Until slipring_receiver_ack or slipring_receiver_return every other call but slipring_receiver_close
// returns `SLIPRING_E_LENT`.
slipring_status slipring_receiver_receive(slipring_receiver *receiver,
                                          int64_t timeout_ns,
                                          slipring_delivery *delivery);

// Acknowledges the message that was received: it is never delivered again. `SLIPRING_E_ACK_EXPIRED` says that it was held for longer
// than the queue's lease and went to another receiver; it is given back all the same.
slipring_status slipring_receiver_ack(slipring_receiver *receiver);

// Returns the message that was received to the queue, where it is marked as redelivered.
slipring_status slipring_receiver_return(slipring_receiver *receiver);

// Gives the receiver a descriptor, as slipring_consumer_fd.
slipring_status slipring_receiver_fd(slipring_receiver *receiver, int32_t *fd);

// Says whether there may be something to receive, as slipring_consumer_arm. Another receiver may be faster.
slipring_status slipring_receiver_arm(slipring_receiver *receiver, bool *ready);

// Closes a receiver, and makes the pointer NULL. A message that it holds returns to the queue.
slipring_status slipring_receiver_close(slipring_receiver **receiver);

// Creates a ring and opens it. `place` is a name in the slipring directory, or a path if it begins with `/`, `./` or `../`.
// To close it later, call slipring_ring_close.
slipring_status slipring_ring_create(const char *place,
                                     const slipring_ring_options *options,
                                     slipring_ring **ring);

// Opens a ring, or creates it if there is none. One that exists keeps its settings.
slipring_status slipring_ring_create_or_open(const char *place,
                                             const slipring_ring_options *options,
                                             slipring_ring **ring);

// Opens a ring, waiting until there is one. With a timeout of 0 it does not wait.
slipring_status slipring_ring_open(const char *place, int64_t timeout_ns, slipring_ring **ring);

// Closes a ring, and makes the pointer NULL. The handles that were made from it stay open.
slipring_status slipring_ring_close(slipring_ring **ring);

// Removes a ring. It is refused while a process is attached.
slipring_status slipring_ring_remove(const char *place);

// Removes an object of any form. With `force` it is removed while processes are attached too.
slipring_status slipring_remove(const char *place, bool force);

// Becomes the one producer of a ring.
slipring_status slipring_ring_producer(const slipring_ring *ring,
                                       const slipring_options *options,
                                       slipring_producer **producer);

// Adds a consumer, which receives every message from its start on. `sequence` goes with `SLIPRING_SEQUENCE`.
slipring_status slipring_ring_consumer(const slipring_ring *ring,
                                       uint32_t from,
                                       uint64_t sequence,
                                       const slipring_options *options,
                                       slipring_consumer **consumer);

// Adds a consumer whose place has a name: the next one of that name, in any process, goes on where this one stopped.
// The start counts where there is no such place yet.
slipring_status slipring_ring_durable_consumer(const slipring_ring *ring,
                                               const char *name,
                                               uint32_t from,
                                               uint64_t sequence,
                                               const slipring_options *options,
                                               slipring_consumer **consumer);

// Forgets the place of a durable consumer, and says whether there was one.
slipring_status slipring_ring_forget_cursor(const slipring_ring *ring, const char *name, bool *forgotten);

// Adds an observer, for which the producer never waits.
slipring_status slipring_ring_observer(const slipring_ring *ring,
                                       uint32_t from,
                                       uint64_t sequence,
                                       const slipring_options *options,
                                       slipring_observer **observer);

// Waits until a producer is attached.
slipring_status slipring_ring_wait_for_producer(const slipring_ring *ring, int64_t timeout_ns);

// Waits until there are so many readers, and says how many there are. `found` may be NULL.
slipring_status slipring_ring_wait_for_readers(const slipring_ring *ring,
                                               uint32_t readers,
                                               int64_t timeout_ns,
                                               uint32_t *found);

// Copies the schema of a ring as text, with a zero byte, and says how long it is without that. A ring without a schema has an
// empty text. With `text` NULL and `size` 0 it only says how long it is; `len` may be NULL.
slipring_status slipring_ring_schema(const slipring_ring *ring,
                                     char *text,
                                     size_t size,
                                     size_t *len);

// Compares the schema of a ring with the one that the program expects, field by field. The message of the error names
// the first difference.
slipring_status slipring_ring_expect_schema(const slipring_ring *ring,
                                            const char *schema);

// Copies the path of a ring's directory, as slipring_ring_schema copies the schema.
slipring_status slipring_ring_path(const slipring_ring *ring, char *text, size_t size, size_t *len);

// Writes the state of a ring, without changing it. Of a ring that was removed the status is `SLIPRING_E_ATTACH_REMOVED`.
slipring_status slipring_ring_status(const slipring_ring *ring,
                                     slipring_ring_state *status);

// Copies the state of as many readers as there is room for, and says how many there are.
slipring_status slipring_ring_readers(const slipring_ring *ring,
                                      slipring_reader_state *readers,
                                      size_t room,
                                      size_t *count);

// Creates a semaphore and opens it. `handle` is how this handle waits, and may be NULL.
slipring_status slipring_semaphore_create(const char *place,
                                          const slipring_semaphore_options *options,
                                          const slipring_options *handle,
                                          slipring_semaphore **semaphore);

// Opens a semaphore, or creates it if there is none. One that exists keeps its settings.
slipring_status slipring_semaphore_create_or_open(const char *place,
                                                  const slipring_semaphore_options *options,
                                                  const slipring_options *handle,
                                                  slipring_semaphore **semaphore);

// Opens a semaphore, waiting until there is one. With a timeout of 0 it does not wait.
slipring_status slipring_semaphore_open(const char *place,
                                        const slipring_options *handle,
                                        int64_t timeout_ns,
                                        slipring_semaphore **semaphore);

// Closes a semaphore, and makes the pointer NULL. Permits that were taken stay.
slipring_status slipring_semaphore_close(slipring_semaphore **semaphore);

// Removes a semaphore. It is refused while a process is attached.
slipring_status slipring_semaphore_remove(const char *place);

// Takes `many` permits, together or not at all.
slipring_status slipring_semaphore_acquire(slipring_semaphore *semaphore,
                                           uint32_t many,
                                           int64_t timeout_ns,
                                           slipring_permit **permit);

// Puts one more permit into use.
slipring_status slipring_semaphore_add(slipring_semaphore *semaphore);

// Writes the state of a semaphore.
slipring_status slipring_semaphore_status(slipring_semaphore *semaphore, slipring_semaphore_state *state);

// Gives permits back, and makes the pointer NULL.
slipring_status slipring_permit_close(slipring_permit **permit);

// Takes permits out of use, and makes the pointer NULL.
slipring_status slipring_permit_forget(slipring_permit **permit);

// Creates a shared value, of zeroes, and opens it. `handle` is how this handle waits, and may be NULL.
slipring_status slipring_shared_create(const char *place,
                                       const slipring_shared_options *options,
                                       const slipring_options *handle,
                                       slipring_shared **shared);

// Opens a shared value, or creates it if there is none. The schema of one that exists has to agree.
slipring_status slipring_shared_create_or_open(const char *place,
                                               const slipring_shared_options *options,
                                               const slipring_options *handle,
                                               slipring_shared **shared);

// Opens a shared value, whatever it is made of: slipring_shared_schema says that.
slipring_status slipring_shared_open(const char *place,
                                     const slipring_options *handle,
                                     slipring_shared **shared);

// Closes a shared value, and makes the pointer NULL. If it is locked, that ends, and what was changed is not kept.
slipring_status slipring_shared_close(slipring_shared **shared);

// Removes a shared value. It is refused while a handle is open.
slipring_status slipring_shared_remove(const char *place);

// Copies what the value is made of as text, as slipring_ring_schema. `value_bytes` is how large it is, and may be NULL.
slipring_status slipring_shared_schema(slipring_shared *shared,
                                       char *text,
                                       size_t size,
                                       size_t *len,
                                       uint32_t *value_bytes);

// Copies the value without the lock, and says how often it was changed. `version` may be NULL.
slipring_status slipring_shared_get(slipring_shared *shared, void *value, size_t size, uint64_t *version);

// Locks the value and lends a private copy of it, which the caller changes. slipring_shared_commit puts the copy in the value's place;
// slipring_shared_discard does not. Until then every other call but slipring_shared_close returns `SLIPRING_E_LENT`. A holder that dies
// leaves the value as it was; `abandoned` then says so to the next one, and may be NULL.
slipring_status slipring_shared_lock(slipring_shared *shared,
                                     int64_t timeout_ns,
                                     void **value,
                                     bool *abandoned);

// Makes the copy the value, and gives the lock back. `version` is how often the value was changed, and may be NULL.
slipring_status slipring_shared_commit(slipring_shared *shared,
                                       uint64_t *version);

// Gives the lock back, and leaves the value as it was.
slipring_status slipring_shared_discard(slipring_shared *shared);

// Waits until the value has another version than this one.
slipring_status slipring_shared_wait(slipring_shared *shared, uint64_t version, int64_t timeout_ns);

// Writes the state of a shared value.
slipring_status slipring_shared_status(slipring_shared *shared, slipring_shared_state *state);

// Creates a signals object and opens it.
slipring_status slipring_signals_create(const char *place,
                                        const slipring_signals_options *options,
                                        slipring_signals **signals);

// Opens a signals object, or creates it if there is none. One that exists keeps its settings.
slipring_status slipring_signals_create_or_open(const char *place,
                                                const slipring_signals_options *options,
                                                slipring_signals **signals);

// Opens a signals object, waiting until there is one. With a timeout of 0 it does not wait.
slipring_status slipring_signals_open(const char *place, int64_t timeout_ns, slipring_signals **signals);

// Closes a signals object, and makes the pointer NULL. Its listeners and targets stay open.
slipring_status slipring_signals_close(slipring_signals **signals);

// Removes a signals object. It is refused while a process is attached.
slipring_status slipring_signals_remove(const char *place);

// Becomes the listener of a name, which no other live listener has.
slipring_status slipring_signals_listener(const slipring_signals *signals,
                                          const char *name,
                                          const slipring_options *options,
                                          slipring_listener **listener);

// Finds the listener that has a name now. Signals never reach a later listener of the same name.
slipring_status slipring_signals_target(const slipring_signals *signals,
                                        const char *name,
                                        slipring_target **target);

// Sends a signal from 0 to 63 to every process that listens at this moment.
slipring_status slipring_signals_broadcast(const slipring_signals *signals, uint32_t signal);

// Sends a signal from 0 to 63.
slipring_status slipring_target_send(slipring_target *target, uint32_t signal);

// Closes a target, and makes the pointer NULL.
slipring_status slipring_target_close(slipring_target **target);

// Waits for a signal whose bit is set in `set`, the lowest number first, and says how often it was sent since it was last
// noticed.
slipring_status slipring_listener_wait(slipring_listener *listener,
                                       uint64_t set,
                                       int64_t timeout_ns,
                                       uint32_t *signal,
                                       uint64_t *count);

// Gives the listener a descriptor, as slipring_consumer_fd.
slipring_status slipring_listener_fd(slipring_listener *listener, int32_t *fd);

// Says whether a signal was sent and not noticed, as slipring_consumer_arm.
slipring_status slipring_listener_arm(slipring_listener *listener, bool *ready);

// Closes a listener, and makes the pointer NULL.
slipring_status slipring_listener_close(slipring_listener **listener);

// Returns `true` if the status says that a deadline passed, whichever form the call was on.
bool slipring_is_timeout(slipring_status status);

// Returns `true` if the status says that a call with the timeout 0 found nothing, or no room: it can be tried again.
bool slipring_is_not_yet(slipring_status status);

// Makes a set that polls for `spin_ns` before it sleeps; for 20 microseconds if that is negative.
slipring_status slipring_wait_set_create(int64_t spin_ns, slipring_wait_set **set);

// Waits until a handle of the list has something to report, and says which: a message, a loss, or an end. The next call
// on that handle, with a timeout of 0, says what. `index` is `count` if the deadline passed; that is no error. The
// handles can be: consumers, observers, receivers of queues and mailboxes, readers of newest values, listeners, links, pipe
// readers, links and ends of named pipes that wait for their other side (slipring_connecting), interruptions; each once, and none that has
// lent something.
slipring_status slipring_wait_set_wait(slipring_wait_set *set,
                                       void *const *handles,
                                       size_t count,
                                       int64_t timeout_ns,
                                       size_t *index);

// Gives the set a descriptor, which becomes readable when a handle of the list of slipring_wait_set_arm has something to
// report. It belongs to the set.
slipring_status slipring_wait_set_fd(slipring_wait_set *set,
                                     int32_t *fd);

// Says which handle of the list has something to report. If none has, `index` is `count`, and the descriptor becomes readable when
// one has.
slipring_status slipring_wait_set_arm(slipring_wait_set *set,
                                      void *const *handles,
                                      size_t count,
                                      size_t *index);

// Has the kernel make the descriptor of a handle readable itself, by io_uring, instead of a thread of the process: that takes about
// a third of the time. The handle is a wait set, or any that has a descriptor, which is made if need be. The loop stays as it is.
// Only the thread that first arms the descriptor, and finds nothing, is served so; for others the thread of the process goes on.
// `SLIPRING_E_SYSTEM` if the kernel refuses, and nothing has changed then: the loop works as before. The number in its detail is
// `ENOSYS` before Linux 6.7, and `EPERM` where io_uring is not allowed, as in many containers. Once such a handle is closed, a call
// of the system in its thread may be interrupted, as by a signal: epoll_wait then fails with `EINTR`, and is called again.
slipring_status slipring_use_io_uring(void *handle);

// Says whether the kernel watches what the last call armed that found nothing, by io_uring.
slipring_status slipring_uses_io_uring(void *handle, bool *uses);

// Closes a set, and makes the pointer NULL. The handles that it waited for stay open.
slipring_status slipring_wait_set_close(slipring_wait_set **set);

// Makes an interruption.
slipring_status slipring_interruption_create(slipring_interruption **interruption);

// Makes an interrupter, which outlives its interruption if need be.
slipring_status slipring_interruption_interrupter(slipring_interruption *interruption,
                                                  slipring_interrupter **interrupter);

// Says whether the interruption was asked for, and takes the request.
slipring_status slipring_interruption_take(slipring_interruption *interruption, bool *taken);

// Closes an interruption, and makes the pointer NULL.
slipring_status slipring_interruption_close(slipring_interruption **interruption);

// Ends the wait of the set that waits for the interruption, or the next one. May be called in a handler of a signal.
slipring_status slipring_interrupter_interrupt(const slipring_interrupter *interrupter);

// Closes an interrupter, and makes the pointer NULL.
slipring_status slipring_interrupter_close(slipring_interrupter **interrupter);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SLIPRING_H */

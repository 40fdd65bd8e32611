/* Two sides that meet: of a link, of a named pipe, and of one for both directions. */
#ifndef SIDES_H
#define SIDES_H

#include "check.h"

#include <errno.h>
#include <sys/epoll.h>

enum { A_LINK, ONE_WAY, BOTH_WAYS, KINDS };

/* Where two sides meet. Side 0 of a pipe of one way writes. */
struct place {
    int kind;
    slipring_fifo *fifo;
};

/* What a side has once they have met. */
struct side {
    slipring_link *link;
    slipring_pipe_reader *reader;
    slipring_pipe_writer *writer;
};

static const char *const names[] = {"engine", "gateway"};

static inline struct place made(int kind) {
    struct place place = {.kind = kind, .fifo = NULL};
    slipring_fifo_options options = {.struct_size = sizeof options, .capacity_bytes = 4096, .both_ways = kind == BOTH_WAYS};
    if (kind != A_LINK)
        OK(slipring_fifo_create("orders", &options, &place.fifo));
    return place;
}

static inline void removed(struct place *place) {
    if (place->kind == A_LINK) {
        OK(slipring_link_remove("gateway", "engine"));
    } else {
        OK(slipring_fifo_close(&place->fifo));
        OK(slipring_fifo_remove("orders"));
    }
}

static inline slipring_status begin_with(const struct place *place, int side, const slipring_options *options,
                                  slipring_connecting **to) {
    switch (place->kind) {
    case A_LINK: return slipring_link_begin_connect(names[side], names[1 - side], NULL, 4096, options, to);
    case BOTH_WAYS: return slipring_fifo_begin_connect(place->fifo, options, to);
    default:
        return side == 0 ? slipring_fifo_begin_writer(place->fifo, options, to)
                         : slipring_fifo_begin_reader(place->fifo, options, to);
    }
}

static inline slipring_connecting *begun(const struct place *place, int side) {
    slipring_connecting *waits = NULL;
    OK(begin_with(place, side, NULL, &waits));
    return waits;
}

static inline slipring_status finish(const struct place *place, int side, slipring_connecting **waits, int64_t timeout_ns,
                              struct side *to) {
    memset(to, 0, sizeof *to);
    switch (place->kind) {
    case A_LINK: return slipring_connecting_link(waits, timeout_ns, &to->link);
    case BOTH_WAYS: return slipring_connecting_ends(waits, timeout_ns, &to->reader, &to->writer);
    default:
        return side == 0 ? slipring_connecting_writer(waits, timeout_ns, &to->writer)
                         : slipring_connecting_reader(waits, timeout_ns, &to->reader);
    }
}

static inline struct side finished(const struct place *place, int side, slipring_connecting **waits) {
    struct side to;
    OK(finish(place, side, waits, 0, &to));
    CHECK(*waits == NULL);
    return to;
}

/* As a process that waits in a call. */
static inline struct side waited(const struct place *place, int side) {
    struct side to = {NULL, NULL, NULL};
    switch (place->kind) {
    case A_LINK: OK(slipring_link_connect(names[side], names[1 - side], NULL, 4096, NULL, MINUTE, &to.link)); break;
    case BOTH_WAYS: OK(slipring_fifo_connect(place->fifo, NULL, MINUTE, &to.reader, &to.writer)); break;
    default:
        if (side == 0)
            OK(slipring_fifo_writer(place->fifo, NULL, MINUTE, &to.writer));
        else
            OK(slipring_fifo_reader(place->fifo, NULL, MINUTE, &to.reader));
    }
    return to;
}

static inline void say(struct side *side, int number) {
    if (side->link)
        OK(slipring_link_send(side->link, &number, sizeof number, MINUTE, NULL));
    else
        OK(slipring_pipe_writer_write(side->writer, &number, sizeof number, MINUTE, NULL));
}

static inline void hear(struct side *side, int number) {
    int heard = -1;
    if (side->link) {
        slipring_message message;
        OK(slipring_link_receive(side->link, MINUTE, &message));
        CHECK(message.len == sizeof heard);
        memcpy(&heard, message.data, sizeof heard);
        OK(slipring_link_release(side->link));
    } else {
        size_t came = 0;
        OK(slipring_pipe_reader_read(side->reader, &heard, sizeof heard, MINUTE, &came));
        CHECK(came == sizeof heard);
    }
    CHECK(heard == number);
}

/* Side 0 talks to side 1, and hears it if it can. */
static inline void talk(struct side sides[2]) {
    say(&sides[0], 17);
    hear(&sides[1], 17);
    if (!sides[1].link && !sides[1].writer)
        return;
    say(&sides[1], 18);
    hear(&sides[0], 18);
}

static inline void leave(struct side *side) {
    OK(slipring_link_close(&side->link));
    OK(slipring_pipe_writer_close(&side->writer));
    OK(slipring_pipe_reader_close(&side->reader));
}

static inline bool meets(slipring_connecting *waits) {
    bool met = true;
    OK(slipring_connecting_try_meet(waits, &met));
    return met;
}

/* Two sides of one thread meet, by looks that do not wait. */
static inline void both_meet(slipring_connecting *one, slipring_connecting *other) {
    for (bool met = false; !met;) {
        const bool first = meets(one), second = meets(other);
        met = first && second;
    }
}

static inline void add(int events, int fd, unsigned number) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.u32 = number}};
    CHECK(epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* Whose descriptor became readable. */
static inline unsigned sleeps(int events) {
    struct epoll_event event;
    int found;
    /* The end of an io_uring interrupts the thread that used it. */
    do
        found = epoll_wait(events, &event, 1, 60000);
    while (found < 0 && errno == EINTR);
    CHECK(found == 1);
    return event.data.u32;
}

#endif

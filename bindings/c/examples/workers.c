/* Workers take jobs from a queue. One of them dies with a job in its hands, which another one then does.
 *
 *     workers [JOBS]
 */
#include <slipring.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 3 };

static void check(slipring_status status, const char *what) {
    if (status != 0) {
        fprintf(stderr, "%s: %s (%u)\n", what, slipring_error_message(), status);
        exit(1);
    }
}

static const uint64_t stop = UINT64_MAX;

/* Does jobs until it is told to stop. Each worker opens the queue for itself: a fork inherits no handle. */
static void work(unsigned char *done, bool dies) {
    slipring_queue *queue = NULL;
    slipring_receiver *receiver = NULL;
    check(slipring_queue_open("jobs", -1, &queue), "open");
    check(slipring_queue_receiver(queue, NULL, &receiver), "receiver");
    for (int count = 0;; count++) {
        slipring_delivery job;
        check(slipring_receiver_receive(receiver, -1, &job), "receive");
        if (dies && count == 5)
            _exit(9); /* without a word to anybody */
        uint64_t number;
        memcpy(&number, job.data, sizeof number);
        if (number != stop)
            __atomic_fetch_add(&done[number], 1, __ATOMIC_RELAXED);
        check(slipring_receiver_ack(receiver), "ack");
        if (number == stop)
            break;
    }
    check(slipring_receiver_close(&receiver), "close");
    check(slipring_queue_close(&queue), "close");
    _exit(0);
}

int main(int count, char **given) {
    uint64_t jobs = count > 1 ? strtoull(given[1], NULL, 10) : 10000;
    unsigned char *done = mmap(NULL, jobs + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    slipring_queue_options options = {.struct_size = sizeof options, .depth = 256, .max_message_bytes = 64};
    slipring_queue *queue = NULL;
    slipring_sender *sender = NULL;
    check(slipring_queue_create("jobs", &options, &queue), "create");
    pid_t workers[WORKERS];
    for (int at = 0; at < WORKERS; at++) {
        workers[at] = fork();
        if (workers[at] == 0)
            work(done, at == 0);
    }
    check(slipring_queue_sender(queue, NULL, &sender), "sender");
    for (uint64_t number = 0; number < jobs; number++)
        check(slipring_sender_send(sender, &number, sizeof number, 0, -1, NULL), "send");
    /* The job of the worker that died comes back, and may be the last. */
    for (uint64_t number = 0; number < jobs;)
        if (__atomic_load_n(&done[number], __ATOMIC_RELAXED) != 0)
            number++;
        else
            usleep(1000);
    for (int at = 0; at < WORKERS; at++)
        check(slipring_sender_send(sender, &stop, sizeof stop, 0, -1, NULL), "send");
    for (int at = 0; at < WORKERS; at++) {
        int ended = 0;
        if (waitpid(workers[at], &ended, 0) != workers[at] || !WIFEXITED(ended))
            return 1;
    }
    check(slipring_sender_close(&sender), "close");
    check(slipring_queue_close(&queue), "close");
    check(slipring_queue_remove("jobs"), "remove");
    for (uint64_t number = 0; number < jobs; number++)
        if (done[number] != 1) {
            fprintf(stderr, "job %llu was done %u times\n", (unsigned long long)number, done[number]);
            return 1;
        }
    munmap(done, jobs + 1);
    printf("%llu jobs, each done once, as it should be\n", (unsigned long long)jobs);
    return 0;
}

// A ring of slots, each under a sequence lock, in shared memory: the textbook answer to one writer and many
// readers who may miss messages. After H.-J. Boehm, "Can seqlocks get along with programming language memory
// models?", 2012; the words of a payload are relaxed atomics, so that nothing here is undefined.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8, "words are shared between processes");

constexpr std::size_t header_bytes = 4096;

struct Ring {
    std::byte* memory;
    std::size_t bytes;
    std::uint64_t mask;
    std::size_t words;
    std::size_t stride;
    std::uint64_t next;
    std::uint64_t missed;

    // How many messages were written.
    Word& head() const { return *reinterpret_cast<Word*>(memory); }
    Word* slot(std::uint64_t n) const {
        return reinterpret_cast<Word*>(memory + header_bytes + (n & mask) * stride);
    }
};

}  // namespace

// Opens a ring of a power of two of slots; null where the system says no.
extern "C" void* seqlock_open(const char* path, std::uint64_t slots, std::size_t words, int create) {
    const std::size_t stride = ((words + 1) * 8 + 63) / 64 * 64;
    const std::size_t bytes = header_bytes + slots * stride;
    const int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (fd < 0) return nullptr;
    void* memory = MAP_FAILED;
    if (!create || ftruncate(fd, static_cast<off_t>(bytes)) == 0)
        memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) return nullptr;
    return new (std::nothrow)
        Ring{static_cast<std::byte*>(memory), bytes, slots - 1, words, stride, 0, 0};
}

extern "C" void seqlock_close(void* opened) {
    Ring* ring = static_cast<Ring*>(opened);
    munmap(ring->memory, ring->bytes);
    delete ring;
}

extern "C" void seqlock_write(void* opened, const std::uint64_t* message) {
    Ring& ring = *static_cast<Ring*>(opened);
    Word* slot = ring.slot(ring.next);
    slot[0].store(2 * ring.next + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t n = 0; n < ring.words; ++n)
        slot[1 + n].store(message[n], std::memory_order_relaxed);
    ring.next += 1;
    slot[0].store(2 * ring.next, std::memory_order_release);
    ring.head().store(ring.next, std::memory_order_release);
}

// Copies the next message out: 1, or 0 if there is none yet. A reader that was lapped goes on with the newest.
extern "C" int seqlock_read(void* opened, std::uint64_t* message) {
    Ring& ring = *static_cast<Ring*>(opened);
    for (;;) {
        Word* slot = ring.slot(ring.next);
        const std::uint64_t whole = 2 * (ring.next + 1);
        const std::uint64_t before = slot[0].load(std::memory_order_acquire);
        if (before < whole) return 0;
        if (before == whole) {
            for (std::size_t n = 0; n < ring.words; ++n)
                message[n] = slot[1 + n].load(std::memory_order_relaxed);
            std::atomic_thread_fence(std::memory_order_acquire);
            if (slot[0].load(std::memory_order_relaxed) == whole) {
                ring.next += 1;
                return 1;
            }
        }
        const std::uint64_t newest = ring.head().load(std::memory_order_acquire) - 1;
        ring.missed += newest - ring.next;
        ring.next = newest;
    }
}

extern "C" std::uint64_t seqlock_missed(const void* opened) {
    return static_cast<const Ring*>(opened)->missed;
}

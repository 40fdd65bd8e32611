/* The creator. */
#include "second.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_file(int directory, const char *name, uint64_t bytes) {
    int file = openat(directory, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) fail("create %s: %s", name, strerror(errno));
    if (bytes > 0 && posix_fallocate(file, 0, (off_t)bytes) != 0) fail("no space for %s", name);
    return file;
}

static void write_at(int file, const void *bytes, size_t count, uint64_t offset) {
    if (pwrite(file, bytes, count, (off_t)offset) != (ssize_t)count) fail("write: %s", strerror(errno));
}

bool create_ring(const char *path, const struct sizes *wanted) {
    struct sizes is = *wanted;
    uint64_t digits;
    char hidden[512];
    const char *slash = strrchr(path, '/');
    if (!slash || getrandom(is.identity, 16, 0) != 16 || getrandom(&digits, 8, 0) != 8) fail("cannot begin");
    layout(&is);
    snprintf(hidden, sizeof hidden, "%.*s/.%s.%016llx", (int)(slash - path), path, slash + 1, (unsigned long long)digits);
    if (mkdir(hidden, 0700) != 0) fail("create %s: %s", hidden, strerror(errno));
    int directory = open(hidden, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (directory < 0 || flock(directory, LOCK_EX | LOCK_NB) != 0) fail("lock %s: %s", hidden, strerror(errno));
    int stream = make_file(directory, "stream", is.stream);
    int control = make_file(directory, "control", is.control);
    int lock = make_file(directory, "lock", 0);
    uint8_t page[4096];
    encode(&is, page);
    write_at(stream, &is.first, 8, 8192 + 8);
    write_at(control, is.identity, 16, 0);
    write_at(stream, page, sizeof page, 0);
    fchmod(stream, 0600);
    fchmod(control, 0600);
    fchmod(lock, 0600);
    fchmod(directory, 0700);
    bool made = renameat2(AT_FDCWD, hidden, AT_FDCWD, path, RENAME_NOREPLACE) == 0;
    if (!made) {
        int error = errno;
        unlinkat(directory, "stream", 0);
        unlinkat(directory, "control", 0);
        unlinkat(directory, "lock", 0);
        rmdir(hidden);
        if (error != EEXIST) fail("name %s: %s", path, strerror(error));
    }
    close(stream);
    close(control);
    close(lock);
    close(directory);
    return made;
}

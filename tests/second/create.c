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

/* The files of a ring in a directory that is there, with their modes. */
static void make_files(int directory, const struct sizes *is) {
    uint8_t page[4096];
    int stream = make_file(directory, "stream", is->stream);
    int control = make_file(directory, "control", is->control);
    int lock = make_file(directory, "lock", 0);
    encode(is, page);
    write_at(stream, &is->first, 8, 8192 + 8);
    write_at(control, is->identity, 16, 0);
    write_at(stream, page, sizeof page, 0);
    int files[] = {stream, control, lock};
    for (int at = 0; at < 3; at++) {
        fchmod(files[at], 0600);
        close(files[at]);
    }
}

static void remove_files(int directory) {
    unlinkat(directory, "stream", 0);
    unlinkat(directory, "control", 0);
    unlinkat(directory, "lock", 0);
}

static void identify(struct sizes *is) {
    if (getrandom(is->identity, 16, 0) != 16) fail("cannot begin");
    layout(is);
}

bool create_pair(const char *path, const struct sizes *wanted, const struct sizes *inside) {
    struct sizes is = *wanted;
    uint64_t digits;
    char hidden[512];
    const char *slash = strrchr(path, '/');
    if (!slash || getrandom(&digits, 8, 0) != 8) fail("cannot begin");
    identify(&is);
    snprintf(hidden, sizeof hidden, "%.*s/.%s.%016llx", (int)(slash - path), path, slash + 1, (unsigned long long)digits);
    if (mkdir(hidden, 0700) != 0) fail("create %s: %s", hidden, strerror(errno));
    int directory = open(hidden, O_DIRECTORY | O_RDONLY | O_CLOEXEC), back = -1;
    if (directory < 0 || flock(directory, LOCK_EX | LOCK_NB) != 0) fail("lock %s: %s", hidden, strerror(errno));
    make_files(directory, &is);
    if (inside) {
        struct sizes other = *inside;
        identify(&other);
        if (mkdirat(directory, "back", 0700) != 0) fail("create %s/back: %s", hidden, strerror(errno));
        back = openat(directory, "back", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        if (back < 0) fail("open %s/back: %s", hidden, strerror(errno));
        make_files(back, &other);
        fchmod(back, 0700);
    }
    fchmod(directory, 0700);
    bool made = renameat2(AT_FDCWD, hidden, AT_FDCWD, path, RENAME_NOREPLACE) == 0;
    if (!made) {
        int error = errno;
        if (back >= 0) {
            remove_files(back);
            unlinkat(directory, "back", AT_REMOVEDIR);
        }
        remove_files(directory);
        rmdir(hidden);
        if (error != EEXIST) fail("name %s: %s", path, strerror(error));
    }
    if (back >= 0) close(back);
    close(directory);
    return made;
}

bool create_ring(const char *path, const struct sizes *wanted) { return create_pair(path, wanted, NULL); }

static uint64_t power_of_two_from(uint64_t bytes) {
    uint64_t power = 4096;
    while (power < bytes) power *= 2;
    return power;
}

/* The bytes of so many cells of values. */
static uint64_t bytes_of_cells(uint64_t cells, uint64_t bytes) { return 64 + cells * (64 + 4 * up(bytes, 64)); }

bool create_form(const char *path, const struct form_wanted *wanted) {
    uint64_t bytes = 0;
    struct sizes is = {.features = FORM, .align = 8, .rows = wanted->rows, .capacity = wanted->capacity ? wanted->capacity : 4096};
    is.form = wanted->form;
    is.parameters[0] = wanted->parameters[0];
    is.parameters[1] = wanted->parameters[1];
    if (wanted->schema) {
        is.schema_bytes = (uint32_t)strlen(wanted->schema);
        if (is.schema_bytes >= sizeof is.schema) fail("too long a schema");
        memcpy(is.schema, wanted->schema, is.schema_bytes);
        if (!read_schema(is.schema, is.schema_bytes, &is.schema_hash, &bytes)) fail("%s is no schema", wanted->schema);
    }
    bool has_back = false;
    switch (is.form) {
    case 1: is.board = 1040; break;
    case 4:
        is.board = 32;
        has_back = true;
        break;
    case 5:
        is.board = 32;
        has_back = is.parameters[0] == 2;
        break;
    case 6:
        is.parameters[1] = bytes;
        is.capacity = power_of_two_from(bytes_of_cells(is.parameters[0], bytes));
        break;
    case 7:
        is.parameters[0] = is.parameters[1] = 1;
        is.board = 16 + 1;
        is.capacity = power_of_two_from(bytes_of_cells(1, bytes));
        break;
    case 8: is.board = 16 + (uint32_t)is.parameters[1]; break;
    case 9:
        is.parameters[0] = 64;
        is.board = 64 + 64 * is.rows;
        break;
    default: fail("form %u is not public, or lies in another one", is.form);
    }
    is.block = is.capacity / 8 < 4096 ? is.capacity / 8 : 4096;
    struct sizes back = is;
    if (is.form == 4) back.board = 0;
    return create_pair(path, &is, has_back ? &back : NULL);
}

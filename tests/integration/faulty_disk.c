/* Preloaded into a process, makes the disk below FAULTY_FOLDER fail on demand, and keeps what a power cut would leave.

   FAULTY_ORDERS names a file. While it is there, each of its lines "OPERATION ERRNO [END OF THE FILE'S NAME]" has
   write (and growing), sync or open (for writing) fail with that number. A failed sync does what Linux does: the pages
   count as clean and are not written by a later sync. FAULTY_KEPT names a folder with what has really reached the disk
   of each database and log: what was written and then synced with success. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MOST_RANGES 65536

typedef struct { off_t from, to; } Range;
typedef struct { char name[256]; Range dirty[MOST_RANGES]; int ranges; } File;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static File files[8];
static int known;

static const char *below(const char *path) {
    const char *folder = getenv("FAULTY_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && path[length] == '/' ? path + length + 1 : NULL;
}

static const char *name_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    return below(path);
}

/* The number that the operation on a file is to fail with; 0: none. */
static int ordered(const char *operation, const char *name) {
    FILE *orders = name ? fopen(getenv("FAULTY_ORDERS"), "re") : NULL;
    if (!orders) return 0;
    char line[512], which[16], end[256];
    int number, found = 0;
    while (!found && fgets(line, sizeof line, orders)) {
        end[0] = 0;
        if (sscanf(line, "%15s %d %255s", which, &number, end) < 2 || strcmp(which, operation)) continue;
        size_t length = strlen(name), wanted = strlen(end);
        if (length >= wanted && !strcmp(name + length - wanted, end)) found = number;
    }
    fclose(orders);
    return found;
}

static int fails(const char *operation, int descriptor) {
    char path[PATH_MAX];
    int saved = errno, number = ordered(operation, name_of(descriptor, path));
    errno = number ? number : saved;
    return number;
}

static int ends(const char *name, const char *end) {
    size_t length = strlen(name), wanted = strlen(end);
    return length >= wanted && !strcmp(name + length - wanted, end);
}

/* Databases and logs, in the lock. */
static File *kept(const char *name) {
    if (!name || !getenv("FAULTY_KEPT") || strchr(name, '/') || !(ends(name, ".db") || ends(name, "-wal"))) return NULL;
    for (int each = 0; each < known; each++)
        if (!strcmp(files[each].name, name)) return &files[each];
    if (known == 8) abort();
    snprintf(files[known].name, sizeof files[known].name, "%s", name);
    return &files[known++];
}

static void wrote(int descriptor, off_t from, ssize_t length) {
    char path[PATH_MAX];
    int saved = errno;
    pthread_mutex_lock(&lock);
    File *file = length > 0 ? kept(name_of(descriptor, path)) : NULL;
    if (file) {
        if (file->ranges == MOST_RANGES) abort();
        file->dirty[file->ranges++] = (Range){from, from + length};
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static void keep(int descriptor, File *file) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", getenv("FAULTY_KEPT"), file->name);
    int copy = REAL(open64)(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat now;
    if (copy < 0 || fstat(descriptor, &now)) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    int source = REAL(open64)(path, O_RDONLY | O_CLOEXEC);
    for (int each = 0; each < file->ranges; each++)
        for (off_t at = file->dirty[each].from; at < file->dirty[each].to && at < now.st_size;) {
            char bytes[65536];
            off_t left = file->dirty[each].to - at;
            ssize_t got = pread64(source, bytes, left < (off_t)sizeof bytes ? left : (off_t)sizeof bytes, at);
            if (got <= 0 || REAL(pwrite64)(copy, bytes, got, at) != got) break;
            at += got;
        }
    if (REAL(ftruncate64)(copy, now.st_size)) abort();
    close(source);
    close(copy);
}

static int synced(int descriptor, int (*real)(int)) {
    char path[PATH_MAX];
    int failed = fails("sync", descriptor), result = failed ? -1 : real(descriptor), saved = errno;
    pthread_mutex_lock(&lock);
    File *file = kept(name_of(descriptor, path));
    if (file && !result) keep(descriptor, file);
    if (file) file->ranges = 0;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int fsync(int descriptor) { return synced(descriptor, REAL(fsync)); }

int fdatasync(int descriptor) { return synced(descriptor, REAL(fdatasync)); }

ssize_t write(int descriptor, const void *bytes, size_t length) {
    if (fails("write", descriptor)) return -1;
    off_t from = lseek(descriptor, 0, SEEK_CUR);
    ssize_t done = REAL(write)(descriptor, bytes, length);
    if (from >= 0) wrote(descriptor, from, done);
    return done;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    if (fails("write", descriptor)) return -1;
    ssize_t done = REAL(pwrite64)(descriptor, bytes, length, offset);
    wrote(descriptor, offset, done);
    return done;
}

int ftruncate64(int descriptor, off64_t length) {
    return fails("write", descriptor) ? -1 : REAL(ftruncate64)(descriptor, length);
}

int unlink(const char *path) {
    int result = REAL(unlink)(path), saved = errno;
    pthread_mutex_lock(&lock);
    File *file = result ? NULL : kept(below(path));
    if (file) {
        char copy[PATH_MAX];
        snprintf(copy, sizeof copy, "%s/%s", getenv("FAULTY_KEPT"), file->name);
        REAL(unlink)(copy);
        file->ranges = 0;
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int number = (flags & O_ACCMODE) != O_RDONLY ? ordered("open", below(path)) : 0;
    if (number) {
        errno = number;
        return -1;
    }
    return REAL(open64)(path, flags, mode);
}

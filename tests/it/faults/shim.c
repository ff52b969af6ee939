/* Stands between a process and its files, put there by LD_PRELOAD: writes down, in their order, every write, truncation,
 * sync, removal and renaming in one folder, and lets some of them fail on order. It must change nothing else.
 *
 * SHIM_FOLDER   the folder that is watched, an absolute path without links
 * SHIM_LOG      where records are appended; others may append records of their own between them (markers)
 * SHIM_RECORD   1: everything is written down; otherwise only the faults are
 * SHIM_CONTROL  a file with one order, read anew at every call: "WHAT FILE ERRNO SKIP TIMES"
 *               WHAT is write, sync, create, truncate, or all of them (a full disk truncates: for ENOSPC, all but that); FILE is wal, db (the database alone) or any;
 *               ERRNO is a number; the first SKIP calls that fit go through, the next TIMES fail. No file: no faults.
 *               A write that fails with ENOSPC stores half of its bytes first, as a disk that fills up does.
 *               WHAT may also be kill: the next call ends the process with SIGKILL, before it does anything.
 *               (A signal from outside may come between a write and its record.)
 *
 * A record is a header of 16 bytes (little endian: kind, length of the name, two zeros, length of the data, offset), the
 * name within the folder, the data. Kinds: W write, T truncation (offset is the new length), S sync (of the folder itself
 * where the name is empty), U removal, R renaming (data is the new name), F fault (offset is the errno). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_open)(const char *, int, ...);

static const char *folder, *control;
static size_t folder_length;
static int log_fd = -1, records;
/* One call at a time, so that the order of the records is the order of the calls. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_open = dlsym(RTLD_NEXT, "open64");
    folder = getenv("SHIM_FOLDER");
    control = getenv("SHIM_CONTROL");
    const char *log_path = getenv("SHIM_LOG"), *record = getenv("SHIM_RECORD");
    records = record && strcmp(record, "1") == 0;
    if (folder) folder_length = strlen(folder);
    if (log_path) log_fd = real_open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (folder && log_fd < 0) {
        fprintf(stderr, "shim: the log cannot be opened: %s\n", strerror(errno));
        _exit(99);
    }
}

/* The name within the folder, "" for the folder itself, NULL for what lies elsewhere. */
static const char *within(const char *path) {
    if (!folder || strncmp(path, folder, folder_length) != 0) return NULL;
    if (path[folder_length] == '\0') return path + folder_length;
    return path[folder_length] == '/' ? path + folder_length + 1 : NULL;
}

static const char *name_of(int fd, char *buffer) {
    struct stat status;
    if (!folder || fstat(fd, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) return NULL;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0) return NULL;
    buffer[length] = '\0';
    return within(buffer);
}

static void note(char kind, const char *name, uint64_t offset, const void *data, size_t length) {
    if (!records && kind != 'F') return;
    unsigned char header[16] = {0};
    uint32_t length32 = (uint32_t)length;
    header[0] = (unsigned char)kind;
    header[1] = (unsigned char)strlen(name);
    memcpy(header + 4, &length32, 4);
    memcpy(header + 8, &offset, 8);
    struct iovec parts[3] = {{header, 16}, {(void *)name, header[1]}, {(void *)data, length}};
    if (writev(log_fd, parts, 3) != (ssize_t)(16 + header[1] + length)) {
        fprintf(stderr, "shim: the log cannot be written: %s\n", strerror(errno));
        _exit(99);
    }
}

static int ends_with(const char *name, const char *end) {
    size_t length = strlen(name), end_length = strlen(end);
    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

/* The errno that this call is to fail with, or 0. */
static int fault(const char *what, const char *name) {
    static char last[128];
    static unsigned long met;
    char order[128] = {0}, wanted[16], file[16];
    int code;
    unsigned long skip, times;
    int fd = control ? real_open(control, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t length = read(fd, order, sizeof order - 1);
    close(fd);
    if (length <= 0 || sscanf(order, "%15s %15s %d %lu %lu", wanted, file, &code, &skip, &times) != 5) return 0;
    if (strcmp(order, last) != 0) {
        memcpy(last, order, sizeof last);
        met = 0;
    }
    if (strcmp(wanted, "kill") == 0) raise(SIGKILL);
    if (strcmp(wanted, "all") != 0 && strcmp(wanted, what) != 0) return 0;
    if (code == ENOSPC && strcmp(what, "truncate") == 0) return 0;
    if (strcmp(file, "wal") == 0 && !ends_with(name, "-wal")) return 0;
    if (strcmp(file, "db") == 0 && !ends_with(name, ".db")) return 0;
    unsigned long place = met++;
    if (place < skip || place - skip >= times) return 0;
    note('F', name, (uint64_t)code, what, strlen(what));
    return code;
}

static ssize_t put(int fd, const void *data, size_t length, off_t offset, const char *name, int positioned) {
    pthread_mutex_lock(&turn);
    if (!positioned) offset = lseek(fd, 0, SEEK_CUR);
    int code = fault("write", name);
    size_t part = code == 0 ? length : code == ENOSPC ? length / 2 : 0;
    ssize_t done = part == 0 ? 0 : positioned ? real_pwrite(fd, data, part, offset) : real_write(fd, data, part);
    int error = done < 0 ? errno : code;
    if (done > 0) note('W', name, (uint64_t)offset, data, (size_t)done);
    pthread_mutex_unlock(&turn);
    if (code == 0) {
        errno = error;
        return done;
    }
    errno = code;
    return -1;
}

ssize_t write(int fd, const void *data, size_t length) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    return name ? put(fd, data, length, 0, name, 0) : real_write(fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    return name ? put(fd, data, length, offset, name, 1) : real_pwrite(fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

int ftruncate64(int fd, off_t length) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (!name) return real_ftruncate(fd, length);
    pthread_mutex_lock(&turn);
    int code = fault("truncate", name), result = -1;
    if (code == 0 && (result = real_ftruncate(fd, length)) == 0) note('T', name, (uint64_t)length, NULL, 0);
    int error = code ? code : errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_with(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (!name) return real(fd);
    pthread_mutex_lock(&turn);
    int code = fault("sync", name), result = -1;
    if (code == 0 && (result = real(fd)) == 0) note('S', name, 0, NULL, 0);
    int error = code ? code : errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int fsync(int fd) { return sync_with(fd, real_fsync); }

int fdatasync(int fd) { return sync_with(fd, real_fdatasync); }

int unlink(const char *path) {
    const char *name = within(path);
    if (!name) return real_unlink(path);
    pthread_mutex_lock(&turn);
    int result = real_unlink(path), error = errno;
    if (result == 0) note('U', name, 0, NULL, 0);
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int rename(const char *from, const char *to) {
    const char *name = within(from), *new_name = within(to);
    if (!name || !new_name) return real_rename(from, to);
    pthread_mutex_lock(&turn);
    int result = real_rename(from, to), error = errno;
    if (result == 0) note('R', name, 0, new_name, strlen(new_name));
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

static int open_with(const char *path, int flags, mode_t mode) {
    const char *name = flags & O_CREAT ? within(path) : NULL;
    if (name && access(path, F_OK) != 0) {
        pthread_mutex_lock(&turn);
        int code = fault("create", name);
        pthread_mutex_unlock(&turn);
        if (code != 0) {
            errno = code;
            return -1;
        }
    }
    return real_open(path, flags, mode);
}

static mode_t mode_of(int flags, va_list rest) { return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0; }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_with(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_with(path, flags, mode);
}

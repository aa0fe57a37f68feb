// What few programs do with memory, a case for each word: the argument says which. The exit status is 77 where the system refuses it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define MIB (1L << 20)
#define RW (PROT_READ | PROT_WRITE)
#define REFUSED 77
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

static void check(int holds, const char *what) {
    if (holds) return;
    perror(what);
    exit(1);
}

static char *map(long bytes, int flags, int file) {
    char *start = mmap(NULL, bytes, RW, flags, file, 0);
    check(start != MAP_FAILED, "mmap");
    return start;
}

static char *anonymous(long pages) { return map(pages * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1); }

static void in_a_child(void (*act)(char *), char *area) {
    pid_t child = fork();
    int status;
    check(child >= 0, "fork");
    if (child == 0) {
        act(area);
        _exit(0);
    }
    check(waitpid(child, &status, 0) == child && status == 0, "the child");
}

static int fault_server = -1;

static void *serve(void *unused) {
    char *page = anonymous(1);
    struct uffd_msg message;
    while (read(fault_server, &message, sizeof message) == sizeof message) {
        if (message.event != UFFD_EVENT_PAGEFAULT) continue;
        unsigned long at = message.arg.pagefault.address & -PAGE;
        if (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
            struct uffdio_writeprotect open = {.range = {at, PAGE}};
            check(ioctl(fault_server, UFFDIO_WRITEPROTECT, &open) == 0, "UFFDIO_WRITEPROTECT");
            continue;
        }
        memset(page, 7, PAGE);
        struct uffdio_copy copy = {.dst = at, .src = (unsigned long)page, .len = PAGE};
        check(ioctl(fault_server, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
    }
    return unused;
}

// Faults that a thread serves; a part is registered, protected, moved and given back, so that areas split and join.
static int userfault(void) {
    fault_server = syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    if (fault_server < 0 || ioctl(fault_server, UFFDIO_API, &api)) return REFUSED;
    char *area = anonymous(64);
    struct uffdio_register some = {.range = {(unsigned long)area + 8 * PAGE, 32 * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    check(ioctl(fault_server, UFFDIO_REGISTER, &some) == 0, "UFFDIO_REGISTER");
    pthread_t server;
    check(pthread_create(&server, NULL, serve, NULL) == 0, "pthread_create");
    pthread_detach(server);
    for (long page = 0; page < 64; page++) check(area[page * PAGE] == (page >= 8 && page < 40 ? 7 : 0), "what was served");
    some.mode |= UFFDIO_REGISTER_MODE_WP;
    some.range.len = 16 * PAGE;
    check(ioctl(fault_server, UFFDIO_REGISTER, &some) == 0, "UFFDIO_REGISTER again");
    struct uffdio_writeprotect protect = {.range = some.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    check(ioctl(fault_server, UFFDIO_WRITEPROTECT, &protect) == 0, "UFFDIO_WRITEPROTECT");
    area[9 * PAGE] = 1;
    check(mremap(area + 20 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, anonymous(4)) != MAP_FAILED, "mremap");
    struct uffdio_range all = {(unsigned long)area + 8 * PAGE, 12 * PAGE};
    check(ioctl(fault_server, UFFDIO_UNREGISTER, &all) == 0, "UFFDIO_UNREGISTER");
    check(munmap(area + 50 * PAGE, 2 * PAGE) == 0, "munmap");
    return 0;
}

static void spoil(char *area) { memset(area, 1, 3 * PAGE); }

// Keys that split an area, a child that inherits them, memory for execution alone.
static int keys(void) {
    int key = pkey_alloc(0, 0), other = pkey_alloc(0, PKEY_DISABLE_WRITE);
    if (key < 0 || other < 0) return REFUSED;
    char *area = anonymous(32);
    check(pkey_mprotect(area + 4 * PAGE, 8 * PAGE, RW, key) == 0, "pkey_mprotect");
    check(pkey_mprotect(area + 8 * PAGE, 8 * PAGE, RW, other) == 0, "pkey_mprotect");
    spoil(area + 4 * PAGE);
    in_a_child(spoil, area);
    check(mprotect(area + 20 * PAGE, 4 * PAGE, PROT_EXEC) == 0, "mprotect");
    check(pkey_mprotect(area, 16 * PAGE, RW, 0) == 0, "pkey_mprotect");
    check(pkey_free(other) == 0, "pkey_free");
    return 0;
}

// Huge pages: private, shared, from a file; protected, split, moved away in whole pages.
static int huge(void) {
    char *area = mmap(NULL, 8 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    int file = memfd_create("huge", MFD_HUGETLB);
    if (area == MAP_FAILED || file < 0) return REFUSED;
    check(ftruncate(file, 4 * MIB) == 0, "ftruncate");
    char *shared = map(4 * MIB, MAP_SHARED, file);
    area[0] = shared[2 * MIB] = 1;
    check(mprotect(area + 2 * MIB, 2 * MIB, PROT_READ) == 0, "mprotect");
    check(mprotect(area + PAGE, PAGE, PROT_READ) != 0, "mprotect inside a page");
    in_a_child(spoil, area);
    check(munmap(area + 4 * MIB, 2 * MIB) == 0, "munmap");
    check(munmap(shared, 2 * MIB) == 0, "munmap");
    return 0;
}

// Memory that may be merged, transparent huge pages, and the other advices that split areas.
static int advices(void) {
    char *area = anonymous(64);
    memset(area, 3, 64 * PAGE);
    if (madvise(area + 8 * PAGE, 8 * PAGE, MADV_MERGEABLE)) return REFUSED;
    check(madvise(area + 12 * PAGE, 8 * PAGE, MADV_UNMERGEABLE) == 0, "MADV_UNMERGEABLE");
    check(prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0, "PR_SET_MEMORY_MERGE");
    char *later = anonymous(16);
    check(munmap(later + 4 * PAGE, PAGE) == 0, "munmap");
    check(prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0) == 0, "PR_SET_MEMORY_MERGE");
    check(madvise(area + 30 * PAGE, 4 * PAGE, MADV_HUGEPAGE) == 0, "MADV_HUGEPAGE");
    check(madvise(area + 40 * PAGE, 4 * PAGE, MADV_WIPEONFORK) == 0, "MADV_WIPEONFORK");
    check(madvise(area + 50 * PAGE, 4 * PAGE, MADV_DONTFORK) == 0, "MADV_DONTFORK");
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, area + 56 * PAGE, 2 * PAGE, "a name");  // some kernels have no names
    in_a_child(spoil, area);
    check(madvise(area, 64 * PAGE, MADV_NOHUGEPAGE) == 0, "MADV_NOHUGEPAGE");
    return 0;
}

// The ring of asynchronous input and output, which the kernel maps.
static int aio(void) {
    aio_context_t context = 0, second = 0;
    if (syscall(SYS_io_setup, 64, &context) || syscall(SYS_io_setup, 2000, &second)) return REFUSED;
    char *page = anonymous(1);
    int file = open("/proc/self/exe", O_RDONLY);
    struct iocb read = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = file, .aio_buf = (unsigned long)page, .aio_nbytes = PAGE};
    struct iocb *reads[] = {&read};
    struct io_event event;
    check(syscall(SYS_io_submit, context, 1, reads) == 1, "io_submit");
    check(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1 && event.res == PAGE, "io_getevents");
    check(syscall(SYS_io_destroy, context) == 0, "io_destroy");
    return 0;
}

// A ring of samples, mapped whole and in part.
static int perf(void) {
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_PAGE_FAULTS};
    event.sample_period = 1;
    event.sample_type = PERF_SAMPLE_ADDR;
    int file = syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (file < 0) return REFUSED;
    char *ring = map(9 * PAGE, MAP_SHARED, file);
    memset(anonymous(16), 1, 16 * PAGE);
    check(((struct perf_event_mmap_page *)ring)->data_head > 0, "no sample");
    check(munmap(ring, 9 * PAGE) == 0, "munmap");
    return 0;
}

// Memory that the kernel itself cannot read.
static int secret(void) {
    int file = syscall(SYS_memfd_secret, 0);
    if (file < 0) return REFUSED;
    check(ftruncate(file, 8 * PAGE) == 0, "ftruncate");
    char *area = map(8 * PAGE, MAP_SHARED, file);
    memset(area, 1, 8 * PAGE);
    check(mprotect(area + 2 * PAGE, PAGE, PROT_READ) == 0, "mprotect");
    check(munmap(area + 6 * PAGE, PAGE) == 0, "munmap");
    return 0;
}

// Segments: attached twice, for reading alone, over another, detached in part of what is left, inherited.
static int segments(void) {
    int id = shmget(IPC_PRIVATE, 16 * PAGE, IPC_CREAT | 0600);
    if (id < 0) return REFUSED;
    char *first = shmat(id, NULL, 0), *second = shmat(id, NULL, SHM_RDONLY), *area = anonymous(32);
    check(first != (void *)-1 && second != (void *)-1, "shmat");
    check(shmat(id, area + 8 * PAGE, SHM_REMAP) == area + 8 * PAGE, "SHM_REMAP");
    check(shmctl(id, IPC_RMID, NULL) == 0, "IPC_RMID");
    first[0] = 5;
    check(second[0] == 5 && area[8 * PAGE] == 5, "what is shared");
    check(mprotect(first + 4 * PAGE, 2 * PAGE, PROT_READ) == 0, "mprotect");
    in_a_child(spoil, first);
    check(munmap(first + 8 * PAGE, PAGE) == 0, "munmap");
    check(shmdt(first) == 0 && shmdt(second) == 0, "shmdt");
    return 0;
}

int main(int count, char **arguments) {
    static const struct {
        const char *word;
        int (*act)(void);
    } cases[] = {{"userfault", userfault}, {"keys", keys}, {"huge", huge},     {"advices", advices}, {"aio", aio},
                 {"perf", perf},           {"secret", secret}, {"segments", segments}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (count > 1 && strcmp(arguments[1], cases[i].word) == 0) return cases[i].act();
    }
    fprintf(stderr, "%s: no such case\n", arguments[0]);
    return 1;
}

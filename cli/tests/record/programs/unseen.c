// What no argument of a call tells: the first letter of the argument chooses which.
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)

static char *anonymous(long pages) {
    char *start = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) abort();
    return start;
}

int main(int count, char **arguments) {
    char *area;
    aio_context_t context = 0;
    unsigned long nodes = 1;
    struct rlimit limit;
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_PAGE_FAULTS};
    int file;
    switch (count > 1 ? arguments[1][0] : 0) {
    case 'd':  // the ring of a driver may not grow
        if (syscall(SYS_io_setup, 128, &context)) return 77;
        munmap((char *)context, PAGE);
        return 0;
    case 'e':  // the ring of events is not given to children
        event.sample_period = 1;
        file = syscall(SYS_perf_event_open, &event, 0, -1, -1, 0);
        if (file < 0) return 77;
        area = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
        return area == MAP_FAILED;
    case 's':  // secret memory is locked
        file = syscall(SYS_memfd_secret, 0);
        if (file < 0 || ftruncate(file, 4 * PAGE)) return 77;
        area = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
        munmap(area + PAGE, PAGE);
        return area == MAP_FAILED;
    case 'o':  // an offset that is not a page's is refused, though there is no file
        return syscall(SYS_mmap, NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1) != -1;
    case 'm':  // more than any machine has
        return mmap(NULL, 1L << 45, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
    case 'g':  // an owner without a fault keeps the moved pages apart from fresh ones
        area = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        mmap(area + 16 * PAGE, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (madvise(area + 16 * PAGE, PAGE, 102)) return 77;
        mmap(area + 36 * PAGE, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        mremap(area + 16 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + 32 * PAGE);
        return 0;
    case 'p':  // a policy splits, and joins when it goes
        area = anonymous(8);
        if (syscall(SYS_mbind, area + 2 * PAGE, 2 * PAGE, 2, &nodes, 64, 0)) return 77;
        munmap(area + 7 * PAGE, PAGE);
        syscall(SYS_mbind, area + 2 * PAGE, 2 * PAGE, 0, NULL, 0, 0);
        munmap(area + 6 * PAGE, PAGE);
        return 0;
    case 'r':  // another part of the file at the same address
        file = memfd_create("x", 0);
        if (file < 0 || ftruncate(file, 8 * PAGE)) return 77;
        area = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, file, 0);
        if (remap_file_pages(area, PAGE, 0, 4, 0)) return 77;
        munmap(area + PAGE, PAGE);
        return 0;
    case 'c':  // who gives up root may lock less
        getrlimit(RLIMIT_MEMLOCK, &limit);
        limit.rlim_cur = limit.rlim_cur < 1 << 20 ? limit.rlim_cur : 1 << 20;
        if (setrlimit(RLIMIT_MEMLOCK, &limit) || geteuid() != 0 || seteuid(65534)) return 77;
        area = anonymous(8192);
        return mlock(area, 8192 * PAGE) == 0;
    }
    return 1;
}

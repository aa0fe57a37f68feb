// Effects that no argument of a call shows. The first letter of the argument selects one.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)

static char *anonymous(long pages) {
    char *start = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) abort();
    return start;
}

// Serves one fault with a page of zeros.
static void *serve(void *descriptor) {
    struct uffd_msg fault;
    if (read((long)descriptor, &fault, sizeof fault) != sizeof fault) abort();
    unsigned long start = fault.arg.pagefault.address & ~(PAGE - 1);
    if (ioctl((long)descriptor, UFFDIO_ZEROPAGE, &(struct uffdio_zeropage){{start, PAGE}})) abort();
    return NULL;
}

// Moves the end of the heap up by three pages, and leaves all else as it is.
static int move_heap(void) {
    char text[2048] = "";
    int file = open("/proc/self/stat", O_RDONLY);
    if (file < 0 || read(file, text, sizeof text - 1) < 0) return -1;
    unsigned long field[52];
    char *at = strrchr(text, ')') + 3;
    for (int number = 4; number < 52; number++)
        field[number] = strtoul(at, &at, 10);
    struct prctl_mm_map map = {
        .start_code = field[26], .end_code = field[27], .start_stack = field[28], .start_data = field[45],
        .end_data = field[46], .start_brk = field[47], .brk = (unsigned long)sbrk(0) + 3 * PAGE, .arg_start = field[48],
        .arg_end = field[49], .env_start = field[50], .env_end = field[51], .exe_fd = -1,
    };
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

int main(int count, char **arguments) {
    char *area;
    aio_context_t context = 0;
    unsigned long nodes = 1;
    struct rlimit limit;
    pthread_t thread;
    char name[64];
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
        // a part of a page more, and to where it was: what is open stays the same
        snprintf(name, sizeof name, "/proc/self/fd/%d", file);
        file = open(name, O_RDWR);
        area = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, file, 0);
        if (file < 0 || remap_file_pages(area + PAGE, PAGE + 1, 0, 1, 0)) return 77;
        return munmap(area + 7 * PAGE, PAGE);
    case 'y':  // a move that leaves an area off, and one of two areas with the hole between them
        area = anonymous(16);
        mprotect(area + 2 * PAGE, PAGE, PROT_READ);
        if (mremap(area, 4 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + 8 * PAGE) != area + 8 * PAGE) return 1;
        mprotect(area + 6 * PAGE, PAGE, PROT_READ);
        munmap(area + 5 * PAGE, PAGE);
        if (mremap(area + 4 * PAGE, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + 12 * PAGE) == MAP_FAILED) return 77;
        return munmap(area + 15 * PAGE, PAGE);
    case 'c':  // who gives up root may lock less
        getrlimit(RLIMIT_MEMLOCK, &limit);
        limit.rlim_cur = limit.rlim_cur < 1 << 20 ? limit.rlim_cur : 1 << 20;
        if (setrlimit(RLIMIT_MEMLOCK, &limit) || geteuid() != 0 || seteuid(65534)) return 77;
        area = anonymous(8192);
        return mlock(area, 8192 * PAGE) == 0;
    case 'u':  // a userfaultfd splits and joins, gives an area its first page, and releases them when it is closed
        file = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY);
        if (file < 0 || ioctl(file, UFFDIO_API, &(struct uffdio_api){.api = UFFD_API})) return 77;
        area = anonymous(16);
        if (ioctl(file, UFFDIO_REGISTER, &(struct uffdio_register){{(long)area + 2 * PAGE, 4 * PAGE}, UFFDIO_REGISTER_MODE_MISSING})) return 1;
        munmap(area + 15 * PAGE, PAGE);
        if (ioctl(file, UFFDIO_ZEROPAGE, &(struct uffdio_zeropage){{(long)area + 2 * PAGE, PAGE}})) return 1;
        if (ioctl(file, UFFDIO_UNREGISTER, &(struct uffdio_range){(long)area + 4 * PAGE, 2 * PAGE})) return 1;
        munmap(area + 14 * PAGE, PAGE);
        close(file);
        munmap(area + 13 * PAGE, PAGE);
        // the zero page gave an owner, by which it stays apart from another
        area = anonymous(64);
        munmap(area, 64 * PAGE);
        return 0;
    case 'a':  // advice by a vector, on itself
        area = anonymous(8);
        file = syscall(SYS_pidfd_open, getpid(), 0);
        if (syscall(SYS_process_madvise, file, (struct iovec[]){{area, PAGE}, {area + 4 * PAGE, PAGE}}, 2, MADV_DONTDUMP, 0) < 0) return 77;
        // refused, though it could be done here: no descriptor, unknown flags, too many parts
        syscall(SYS_process_madvise, -1, (struct iovec[]){{area, PAGE}}, 1, MADV_DONTFORK, 0);
        syscall(SYS_process_madvise, file, (struct iovec[]){{area, PAGE}}, 1, MADV_DONTFORK, 1);
        syscall(SYS_process_madvise, file, area, 1025, MADV_DONTFORK, 0);
        return munmap(area + 7 * PAGE, PAGE);
    case 'h':  // the heap is moved
        return move_heap() ? 77 : syscall(SYS_brk, (long)syscall(SYS_brk, 0) + PAGE) < 0;
    case 'k':  // all memory may be merged from now on
        if (prctl(67, 1, 0, 0, 0)) return 77;
        anonymous(8);
        return prctl(67, 0, 0, 0, 0);
    case 'x':  // what can be read can be executed
        if (personality(READ_IMPLIES_EXEC) < 0) return 77;
        area = anonymous(8);
        mprotect(area + 2 * PAGE, PAGE, PROT_READ);
        return sbrk(PAGE) == (void *)-1;
    case 't':  // a file that is opened three times, and the second time mapped twice
        if (syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0)) return 77;
        area = mmap(NULL, 10 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (long time = 0, at = 0; time < 3; time++) {
            file = open(arguments[0], O_RDONLY);
            if (file < 0) return 77;
            for (long part = 0; part <= time % 2; part++, at += 2)
                mmap(area + at * PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, at * PAGE);
            if (time) close(file);
        }
        return munmap(area + 9 * PAGE, PAGE);
    case 'f':  // a child's memory has the owner that it had in the parent, though its pages were given back
        area = anonymous(8);
        area[0] = 1;
        mprotect(area, 4 * PAGE, PROT_READ);
        madvise(area, 4 * PAGE, MADV_DONTNEED);
        if (fork() == 0) return mprotect(area + PAGE, PAGE, PROT_NONE) || munmap(area + 7 * PAGE, PAGE);
        return wait(NULL) < 0;
    case 'b':  // a call waits for another thread to bring a page
        file = syscall(SYS_userfaultfd, 0);
        if (file < 0 || ioctl(file, UFFDIO_API, &(struct uffdio_api){.api = UFFD_API})) return 77;
        area = anonymous(8);
        if (ioctl(file, UFFDIO_REGISTER, &(struct uffdio_register){{(long)area, PAGE}, UFFDIO_REGISTER_MODE_MISSING})) return 1;
        pthread_create(&thread, NULL, serve, (void *)(long)file);
        return mlock(area, PAGE) || pthread_join(thread, NULL);
    case 'q':  // the first mapping of a file is refused
        file = memfd_create("refused", 0);
        if (file < 0 || ftruncate(file, PAGE)) return 77;
        if (mmap(NULL, 0, RW, MAP_SHARED, file, 0) != MAP_FAILED) return 1;
        return mmap(NULL, PAGE, RW, MAP_SHARED, file, 0) == MAP_FAILED;
    case 'l':  // a segment of System V is laid over a mapping that may be used alike
        file = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
        area = mmap(NULL, 8 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        char *segment = shmat(file, area + 2 * PAGE, SHM_REMAP);
        shmctl(file, IPC_RMID, NULL);
        return file < 0 ? 77 : segment != area + 2 * PAGE || munmap(area + 7 * PAGE, PAGE);
    case 'i':  // capabilities in a user namespace are none
        getrlimit(RLIMIT_MEMLOCK, &limit);
        limit.rlim_cur = limit.rlim_cur < 1 << 20 ? limit.rlim_cur : 1 << 20;
        if (setrlimit(RLIMIT_MEMLOCK, &limit) || unshare(CLONE_NEWUSER)) return 77;
        area = anonymous(8192);
        return mlock(area, 8192 * PAGE) == 0;
    case 'w':  // a lock goes with the last descriptor and the last mapping
        for (int time = 0; time < 2; time++) {
            file = open(arguments[0], O_RDONLY);
            if (file < 0 || flock(file, LOCK_EX | LOCK_NB)) return 1;
            area = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
            munmap(area, PAGE);
            close(file);
        }
        return 0;
    case 'n':  // a home for the pages of a policy
        area = anonymous(8);
        if (syscall(SYS_mbind, area + 2 * PAGE, 4 * PAGE, 2, &nodes, 64, 0)) return 77;
        if (syscall(450, area + 3 * PAGE, PAGE, 0, 0)) return 77;
        return munmap(area + 7 * PAGE, PAGE);
    }
    return 1;
}

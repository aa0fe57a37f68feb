// Every call that a trace knows, and some that it only knows by what they did; several fail on purpose.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096L

static void must(int holds) {
    if (!holds) abort();
}

static char *anonymous(long pages) {
    char *start = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(start != MAP_FAILED);
    return start;
}

int main(int count, char **arguments) {
    (void)count;
    int file = open(arguments[0], O_RDONLY);
    must(file >= 0);
    must(mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, file, PAGE) != MAP_FAILED);
    must(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0) != MAP_FAILED);
    must(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    must(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0) == MAP_FAILED);

    // protection changes up to the hole, then fails
    char *area = anonymous(8);
    must(munmap(area + 3 * PAGE, 2 * PAGE) == 0);
    must(mprotect(area, 8 * PAGE, PROT_READ) != 0);
    must(mprotect(area + PAGE, PAGE, 0x40) != 0);

    // grows in place or moves, moves to a place that is told, leaves a hole, shrinks, and fails after it unmapped
    char *moved = mremap(anonymous(4), 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    must(moved != MAP_FAILED);
    char *place = anonymous(64);
    must(mremap(moved, 64 * PAGE, 32 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
    must(mremap(place, 32 * PAGE, 8 * PAGE, 0) == place);
    must(mremap(place, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0) != MAP_FAILED);
    char *target = anonymous(2);
    must(mremap(place + 100 * PAGE * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED);

    // grows in place, into room that was made for it, and is moved as the one area that it is then
    char *room = anonymous(12);
    must(munmap(room + 5 * PAGE, 7 * PAGE) == 0 && mremap(room, 5 * PAGE, 10 * PAGE, 0) == room);
    must(mremap(room, 10 * PAGE, 10 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, anonymous(10)) != MAP_FAILED);

    char *heap = sbrk(0);
    must(brk(heap + 10 * PAGE + 100) == 0 && brk(heap + 3 * PAGE) == 0);

    char *locked = anonymous(6);
    must(mlock(locked, PAGE) == 0 && syscall(SYS_mlock2, locked + 2 * PAGE, PAGE, 1) == 0);
    must(munlock(locked, PAGE) == 0);
    must(mlockall(MCL_FUTURE) == 0 && munlockall() == 0);
    must(madvise(locked, PAGE, MADV_DONTFORK) == 0 && madvise(locked, PAGE, MADV_DONTNEED) == 0);
    syscall(462, locked + 5 * PAGE, PAGE, 0);  // mseal: not in every kernel

    int segment = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
    must(segment >= 0);
    void *first = shmat(segment, NULL, 0), *second = shmat(segment, NULL, SHM_RDONLY);
    must(first != (void *)-1 && second != (void *)-1 && shmdt(first) == 0);
    must(shmctl(segment, IPC_RMID, NULL) == 0);
    aio_context_t context = 0;
    must(syscall(SYS_io_setup, 10, &context) == 0);

    // lower than any system's, so that everyone may
    struct rlimit limit = {32768, 32768};
    must(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    return 0;
}

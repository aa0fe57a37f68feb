// Makes a thread and a child that no tracer is to follow, as leak checkers do, and maps memory in both.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int holds) {
    if (!holds) abort();
}

static int map(void *pages) {
    return mmap(NULL, (long)pages * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int ends_well(int child) {
    int status;
    return waitpid(child, &status, __WALL) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void) {
    static _Alignas(16) char stack[65536];
    must(ends_well(clone(map, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED, (void *)41)));
    unsigned long flags = CLONE_UNTRACED | SIGCHLD;
    long child;
    __asm__ volatile("xor %%edx, %%edx\n xor %%r10d, %%r10d\n xor %%r8d, %%r8d\n xor %%esi, %%esi\n syscall"
                     : "=a"(child), "+D"(flags)
                     : "a"((long)SYS_clone)
                     : "rcx", "r11", "rdx", "rsi", "r8", "r10", "memory");
    if (child == 0) _exit(map((void *)42));
    must(flags == (CLONE_UNTRACED | SIGCHLD));
    must(ends_well((int)child));
    return 0;
}

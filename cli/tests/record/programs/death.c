// Dies by the signal whose number it is given, or just ends if that is 0, while its threads map and unmap.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static atomic_int rounds;

static void *work(void *argument) {
    for (;;) {
        char *start = mmap(NULL, 4096 * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED) abort();
        start[0] = 1;
        if (munmap(start, 4096)) abort();
        atomic_fetch_add(&rounds, 1);
    }
    return argument;
}

int main(int count, char **arguments) {
    int number = count > 1 ? atoi(arguments[1]) : SIGKILL;
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none)) abort();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, work, NULL)) abort();
    while (atomic_load(&rounds) < 100) sched_yield();
    if (number == 0) _exit(0);
    if (number == SIGSEGV) *(volatile char *)8 = 1;
    if (number == SIGABRT) abort();
    kill(getpid(), number);
    for (;;) pause();
}

// Is killed while its threads make threads and children, all of which map something.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int rounds;

static void map(long pages) {
    if (mmap(NULL, pages * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) abort();
}

static void *live(void *argument) {
    map(1);
    return argument;
}

static void *make_threads(void *argument) {
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, live, NULL)) abort();
        if (pthread_join(thread, NULL)) abort();
        atomic_fetch_add(&rounds, 1);
    }
    return argument;
}

static void *make_children(void *argument) {
    for (;;) {
        pid_t child = fork();
        if (child == 0) {
            map(43);
            _exit(0);
        }
        if (child < 0 || waitpid(child, NULL, 0) != child) abort();
        atomic_fetch_add(&rounds, 1);
    }
    return argument;
}

int main(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, i % 2 ? make_children : make_threads, NULL)) abort();
    while (atomic_load(&rounds) < 30) sched_yield();
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

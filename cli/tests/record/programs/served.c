/* For each byte on standard input a thread maps and unmaps, and a byte comes out on standard output: so whoever drives it knows when the
 * calls are done. A second thread waits all the time. At the end of the input it ends with 7. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

static void *wait_for_ever(void *unused) {
    pthread_mutex_lock(&mutex);
    for (;;)
        pthread_cond_wait(&never, &mutex);
    return unused;
}

static void *serve(void *unused) {
    char byte;
    while (read(0, &byte, 1) == 1) {
        for (int i = 0; i < 20; i++) {
            char *area = mmap(0, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (area == MAP_FAILED)
                exit(1);
            area[0] = byte;
            if (mprotect(area + 0x1000, 0x1000, PROT_READ) || munmap(area + 0x2000, 0x1000))
                exit(2);
            if (i % 2 && munmap(area, 0x4000))
                exit(3);
        }
        if (write(1, &byte, 1) != 1)
            exit(4);
    }
    exit(7);
    return unused;
}

int main(void) {
    pthread_t threads[2];
    if (pthread_create(&threads[0], 0, wait_for_ever, 0) || pthread_create(&threads[1], 0, serve, 0))
        return 5;
    pthread_join(threads[0], 0);
    return 6;
}

// Eight threads map, protect and unmap at the same time; every page that is mapped is touched.
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define THREADS 8
#define ROUNDS 150
#define KEPT 8

static void *work(void *argument) {
    unsigned seed = (unsigned)(size_t)argument;
    struct { char *start; size_t len; } kept[KEPT] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        int place = round % KEPT;
        if (kept[place].start && munmap(kept[place].start, kept[place].len)) abort();
        size_t len = 4096 * (1 + rand_r(&seed) % 16);
        char *start = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED) abort();
        for (size_t byte = 0; byte < len; byte += 4096) start[byte] = 1;
        if (len > 4096 && mprotect(start, 4096, PROT_READ)) abort();
        kept[place].start = start;
        kept[place].len = len;
    }
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(i + 1))) abort();
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return 3;
}

// The stack of the first thread becomes deeper, page by page, at any moment of what is done about the calls of the second.
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { ROUNDS = 250, DEPTH = 20000 };

static atomic_int calls;

static void *caller(void *unused) {
    for (int round = 0; round < ROUNDS; round++) {
        void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        atomic_fetch_add(&calls, 1);
        munmap(at, 4096);
    }
    atomic_store(&calls, -1);
    return unused;
}

static int deeper(int depth) {
    volatile char page[4096];
    for (volatile int wait = depth % 50 * 1000; wait > 0; wait--) {
    }
    page[0] = 1;
    return depth == DEPTH || atomic_load(&calls) < 0 ? page[0] : deeper(depth + 1) + page[0];
}

int main(void) {
    struct rlimit deep = {DEPTH * 5000L, RLIM_INFINITY};
    pthread_t thread;
    if (setrlimit(RLIMIT_STACK, &deep) != 0) return 2;
    if (pthread_create(&thread, NULL, caller, NULL) != 0) return 1;
    deeper(0);
    pthread_join(thread, NULL);
    return 0;
}

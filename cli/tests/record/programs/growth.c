// The main stack grows by recursion, and a mapping that grows down by touching the page below it.
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096L

static int deeper(int levels) {
    volatile char frame[PAGE];
    frame[0] = (char)levels;
    return levels == 0 ? frame[0] : deeper(levels - 1) + frame[0];
}

int main(void) {
    char *room = mmap(NULL, 2048 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED || munmap(room, 2048 * PAGE)) abort();
    char *stack = mmap(room + 2000 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    if (stack == MAP_FAILED) abort();
    for (long page = 1; page <= 16; page++) stack[-page * PAGE] = 1;
    return deeper(200) == 1;
}

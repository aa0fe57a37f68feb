/* Chains of threads: each makes the next and ends. Each byte on standard input is answered; at the end of the input all end, with 7. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_attr_t detached;

static void *make_the_next(void *unused) {
    pthread_t next;
    if (pthread_create(&next, &detached, make_the_next, 0)) exit(1);
    return unused;
}

int main(void) {
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (int chain = 0; chain < 8; chain++)
        make_the_next(0);
    char byte;
    while (read(0, &byte, 1) == 1 && write(1, &byte, 1) == 1)
        ;
    _exit(7);
}

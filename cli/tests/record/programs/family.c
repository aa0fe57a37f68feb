// A child with a map of its own; a child that shares its parent's until it runs another program; and a thread that
// replaces the whole process. Each maps a number of pages that nobody else does.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char **own;

static void map(long pages) {
    if (mmap(NULL, pages * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) abort();
}

static void *replace(void *argument) {
    (void)argument;
    execv(own[0], (char *[]){own[0], "last", NULL});
    abort();
}

int main(int count, char **arguments) {
    own = arguments;
    if (count > 1) {
        map(strcmp(arguments[1], "last") ? 37 : 39);
        return 5;
    }
    pid_t child = fork();
    if (child == 0) {
        char *heap = sbrk(0);
        if (brk(heap + 5 * 4096)) abort();
        map(33);
        _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status) abort();
    child = vfork();
    if (child == 0) {
        map(35);
        execv(own[0], (char *[]){own[0], "vfork", NULL});
        _exit(1);
    }
    if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 5) abort();
    pthread_t thread;
    if (pthread_create(&thread, NULL, replace, NULL)) abort();
    for (;;) pause();
}

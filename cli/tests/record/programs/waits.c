// A thread unmaps what another watches: the call does not return before the watcher has read of it, and the watcher
// maps something first.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEN (16 * 4096L)

static void must(int holds) {
    if (!holds) abort();
}

static void *unmap(void *area) {
    must(munmap(area, LEN) == 0);
    return NULL;
}

int main(void) {
    int watch = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    must(watch >= 0);
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_UNMAP};
    must(ioctl(watch, UFFDIO_API, &api) == 0);
    char *area = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(area != MAP_FAILED);
    struct uffdio_register range = {.range = {(unsigned long)area, LEN}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    must(ioctl(watch, UFFDIO_REGISTER, &range) == 0);
    pthread_t thread;
    must(pthread_create(&thread, NULL, unmap, area) == 0);
    struct pollfd ready = {.fd = watch, .events = POLLIN};
    must(poll(&ready, 1, -1) == 1);
    // the other is inside its call now, and stays there until the message is read
    must(mmap(NULL, 41 * 4096L, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    struct uffd_msg message;
    must(read(watch, &message, sizeof message) == sizeof message && message.event == UFFD_EVENT_UNMAP);
    must(pthread_join(thread, NULL) == 0);
    return 0;
}

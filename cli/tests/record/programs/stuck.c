/* A parent that waits for its child of vfork, which no signal but one that kills ends. The child answers each byte on standard input; at the
 * end of the input both end, with 7. */
#define _GNU_SOURCE
#include <unistd.h>

int main(void) {
    if (vfork() == 0) {
        char byte;
        while (read(0, &byte, 1) == 1 && write(1, &byte, 1) == 1)
            ;
        _exit(0);
    }
    return 7;
}

/* child_says.c - see child_says.h */
#include "child_says.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void write_all(int fd, const void *data, size_t length)
{
    const char *p = data;

    while (length) {
        ssize_t n = write(fd, p, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            _exit(EXIT_SYSTEM);
        p += n;
        length -= n;
    }
}

void print(int fd, const char *format, ...)
{
    char text[8192];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(text))
        _exit(EXIT_SYSTEM);
    write_all(fd, text, n);
}

void fail(const char *what)
{
    print(2, "child: %s: %s\n", what, strerror(errno));
    _exit(EXIT_SYSTEM);
}

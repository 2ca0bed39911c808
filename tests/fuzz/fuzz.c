/* fuzz.c - what the fuzz targets share; see fuzz.h */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

unsigned fz_byte(struct fz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

unsigned fz_below(struct fz_input *in, unsigned n)
{
    return fz_byte(in) % n;
}

int fz_one_in(struct fz_input *in, unsigned n)
{
    return fz_below(in, n) == n - 1;
}

void fz_say(const char *format, ...)
{
    va_list args;

    if (!getenv("FZ_SAY"))
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void fz_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: FAILED: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* sized.c - structs that carry the size they have where the caller was compiled
 *
 * Called wherever a public struct comes in or goes out; calls nothing.
 */
#include "kernel/sized.h"

#include <string.h>

int xl_sized_take(void *to, size_t own, const void *from, size_t size,
                  size_t least)
{
    const unsigned char *bytes = from;
    size_t i;

    if (size < least || size > XL_SIZED_MOST || size % _Alignof(size_t) != 0)
        return -1;
    for (i = own; i < size; i++)
        if (bytes[i] != 0)
            return -1;
    memcpy(to, from, size < own ? size : own);
    return 0;
}

void xl_sized_give(void *to, size_t size, const void *from, size_t own)
{
    memcpy(to, from, size < own ? size : own);
    if (size > own)
        memset((unsigned char *)to + own, 0, size - own);
}

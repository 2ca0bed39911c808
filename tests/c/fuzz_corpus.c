/* fuzz_corpus.c - the fuzz targets on what was kept, and on some noise
 *
 * tests/fuzz/corpus holds inputs that reach far, and those that once found
 * something. The noise is the same in every run.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/facility.h"
#include "fuzz.h"
#include "harness.h"
#include "xlchild/childproc.h"

/* An input as hexadecimal digits, after lines of comment. */
static size_t read_hex(FILE *f, uint8_t *data, size_t room)
{
    char *line = NULL;
    size_t line_room = 0, size = 0;

    while (getline(&line, &line_room, f) >= 0) {
        unsigned byte;

        for (const char *at = line;
             *line != '#' && sscanf(at, "%2x", &byte) == 1; at += 2) {
            XT_LT_INT(size, room);
            data[size++] = (uint8_t)byte;
        }
    }
    free(line);
    return size;
}

static int replay(const char *folder, void (*target)(const uint8_t *, size_t))
{
    uint8_t data[4096];
    char path[4096];
    struct dirent *e;
    DIR *d;
    int n = 0;

    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", XT_SOURCE, folder);
    d = opendir(path);
    XT_TRUE(d != NULL);
    while ((e = readdir(d))) {
        size_t size;
        FILE *f;

        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s/%s", XT_SOURCE,
                 folder, e->d_name);
        f = fopen(path, "re");
        XT_TRUE(f != NULL);
        size = read_hex(f, data, sizeof(data));
        fclose(f);
        XT_GT_INT(size, 0);
        xt_note("%s", path);
        target(data, size);
        n++;
    }
    closedir(d);
    return n;
}

static void noise(void (*target)(const uint8_t *, size_t), unsigned rounds,
                  size_t size)
{
    uint8_t data[512];

    XT_LE_INT(size, sizeof(data));
    srandom(1);
    for (unsigned i = 0; i < rounds; i++) {
        unsigned zeros = i % 16; /* of sixteen bytes */

        for (size_t k = 0; k < size; k++)
            data[k] =
                (unsigned)random() % 16 < zeros ? 0 : (uint8_t)(random() >> 7);
        target(data, size);
    }
}

/* The facilities must be known before the kernel is a simulated one. */
static void needs_shared_memory_starts(void)
{
    if (!(xl_facilities() & LIBXL_FACILITY_VFORK))
        XT_SKIP("children are made by fork here, which is not simulated");
}

XT_TEST(plans_of_descriptors, "C16")
{
    XT_GT_INT(replay("fdplan", fz_fdplan), 0);
    noise(fz_fdplan, 20000, 48);
}

XT_TEST(what_is_asked_of_a_child, "C16 X5")
{
    needs_shared_memory_starts();
    XT_GT_INT(replay("spec", fz_spec), 0);
    noise(fz_spec, 2000, 96);
}

XT_TEST(sequences_of_calls, "E1 E6 O2 O3 O5 A1 A2 C1 C2 C3 C4 C5 C6 C13 X2")
{
    needs_shared_memory_starts();
    XT_GT_INT(replay("sequence", fz_sequence), 0);
    noise(fz_sequence, 500, 200);
}

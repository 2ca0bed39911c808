/* fuzz.h - what the fuzz targets share: their input, and how they complain
 *
 * A target reads decisions from a string of bytes, carries them out, and
 * aborts when what happened is not what its model says. libfuzzer.c feeds it
 * strings without end; tests/c/fuzz_corpus.c those that were kept, in every
 * check.
 */
#ifndef FZ_FUZZ_H
#define FZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The targets. Each leaves the process as it was. */
void fz_fdplan(const uint8_t *data, size_t size);   /* fdplan.c */
void fz_spec(const uint8_t *data, size_t size);     /* spec.c */
void fz_sequence(const uint8_t *data, size_t size); /* sequence.c */

/* The rest of the input; when it is used up, zeros come. */
struct fz_input {
    const uint8_t *at;
    size_t left;
};

unsigned fz_byte(struct fz_input *in);
unsigned fz_below(struct fz_input *in, unsigned n); /* n <= 256 */
int fz_one_in(struct fz_input *in, unsigned n);

__attribute__((noreturn, format(printf, 3, 4))) void
fz_fail(const char *file, int line, const char *format, ...);

/* What is done, for whoever looks into a failure: with FZ_SAY in the
 * environment it is printed. */
__attribute__((format(printf, 1, 2))) void fz_say(const char *format, ...);

#define FZ_FAIL(...) fz_fail(__FILE__, __LINE__, __VA_ARGS__)
#define FZ_TRUE(e)                      \
    do {                                \
        if (!(e))                       \
            FZ_FAIL("%s is false", #e); \
    } while (0)
#define FZ_EQ(a, b)                                                    \
    do {                                                               \
        long long fz_a_ = (long long)(a), fz_b_ = (long long)(b);      \
        if (fz_a_ != fz_b_)                                            \
            FZ_FAIL("%s is %lld, not %s, %lld", #a, fz_a_, #b, fz_b_); \
    } while (0)

#endif

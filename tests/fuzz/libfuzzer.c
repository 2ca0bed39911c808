/* libfuzzer.c - what libFuzzer calls: one target a program
 *
 * build.mk compiles this with -DFZ_TARGET=fz_….
 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FZ_TARGET(data, size);
    return 0;
}

/* slots.c - numbers that name objects and never name another one
 *
 * Called by child.c and stream.c under the ctx's lock. See slots.h.
 */
#include "kernel/slots.h"

#include <string.h>

#include "kernel/sys.h"

static uint32_t index_of(uint64_t id)
{
    return (uint32_t)(id & (XL_SLOTS_MAX - 1));
}

static void push_free(struct xl_slots *s, uint32_t i)
{
    s->slots[i].used = 0;
    s->slots[i].u.next_free = 0;
    if (s->last_free != 0)
        s->slots[s->last_free - 1].u.next_free = i + 1;
    else
        s->first_free = i + 1;
    s->last_free = i + 1;
}

static int grow(struct xl_slots *s)
{
    uint32_t n = s->n == 0 ? 16 : s->n * 2;
    struct xl_slot *slots;
    uint32_t i;

    if (n > XL_SLOTS_MAX)
        return -1;
    slots = xl_sys.realloc(s->slots, n * sizeof *slots);
    if (slots == NULL)
        return -1;
    memset(slots + s->n, 0, (n - s->n) * sizeof *slots);
    s->slots = slots;
    i = s->n;
    s->n = n;
    for (; i < n; i++) {
        s->slots[i].generation = 1;
        push_free(s, i);
    }
    return 0;
}

uint64_t xl_slots_add(struct xl_slots *s, void *object)
{
    uint32_t i;

    if (s->first_free == 0 && grow(s) != 0)
        return 0;
    i = s->first_free - 1;
    s->first_free = s->slots[i].u.next_free;
    if (s->first_free == 0)
        s->last_free = 0;
    s->slots[i].used = 1;
    s->slots[i].u.object = object;
    return (uint64_t)s->slots[i].generation << XL_SLOTS_INDEX_BITS | i;
}

void *xl_slots_get(const struct xl_slots *s, uint64_t id)
{
    uint32_t i = index_of(id);

    if (i >= s->n || !s->slots[i].used ||
        s->slots[i].generation != id >> XL_SLOTS_INDEX_BITS)
        return NULL;
    return s->slots[i].u.object;
}

void *xl_slots_at(const struct xl_slots *s, uint32_t index)
{
    return s->slots[index].used ? s->slots[index].u.object : NULL;
}

void xl_slots_remove(struct xl_slots *s, uint64_t id)
{
    uint32_t i = index_of(id);

    if (xl_slots_get(s, id) == NULL)
        return;
    s->slots[i].used = 0;
    /* a slot whose generations are used up is never used again */
    if (s->slots[i].generation++ < XL_SLOTS_MAX_GENERATION)
        push_free(s, i);
}

void xl_slots_destroy(struct xl_slots *s)
{
    xl_free(s->slots);
    memset(s, 0, sizeof *s);
}

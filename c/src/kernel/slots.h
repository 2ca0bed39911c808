/* slots.h - numbers that name objects and never name another one
 *
 * An id is a generation and an index; an index is used again only with the
 * next generation, so that a stale id finds nothing. Ids stay below 2^58,
 * which leaves room for a tag beside them.
 */
#ifndef XL_SLOTS_H
#define XL_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#define XL_SLOTS_INDEX_BITS 20
#define XL_SLOTS_MAX (1u << XL_SLOTS_INDEX_BITS)
#define XL_SLOTS_MAX_GENERATION ((UINT64_C(1) << 38) - 1)

struct xl_slot {
    union {
        void *object;       /* used */
        uint32_t next_free; /* free: index + 1 */
    } u;
    uint64_t generation : 63; /* of the object, or of the next one */
    uint64_t used : 1;
};

struct xl_slots {
    struct xl_slot *slots;
    uint32_t n;          /* made */
    uint32_t first_free; /* index + 1; 0: none */
    uint32_t last_free;  /* freed ones go last, to spread the generations */
};

/* Returns the id, or 0 for want of memory or of indexes. */
uint64_t xl_slots_add(struct xl_slots *s, void *object);
void *xl_slots_get(const struct xl_slots *s, uint64_t id);
/* The object at index, below n; NULL: none. */
void *xl_slots_at(const struct xl_slots *s, uint32_t index);
void xl_slots_remove(struct xl_slots *s, uint64_t id);
void xl_slots_destroy(struct xl_slots *s);

#endif

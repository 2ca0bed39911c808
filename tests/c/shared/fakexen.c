/* fakexen.c - a library that exports the names of the core, as Xen's does
 *
 * Loaded globally by linked_apart.c before a plugin that contains the core.
 * It has both sets of names: those of the sources, which are Xen's, and those
 * of the core's object files, as another copy of the core would. Whoever ends
 * up here instead of in the core is counted.
 */
int fakexen_calls;

#define FAKE(name)                                                             \
    int libxl_##name(void);                                                    \
    int xlchild_##name(void);                                                  \
    int libxl_##name(void)                                                     \
    {                                                                          \
        fakexen_calls++;                                                       \
        return -77;                                                            \
    }                                                                          \
    int xlchild_##name(void)                                                   \
    {                                                                          \
        fakexen_calls++;                                                       \
        return -77;                                                            \
    }

FAKE(ctx_alloc)
FAKE(ctx_free)
FAKE(childproc_setmode)
FAKE(childproc_setmode_checked)
FAKE(childproc_exited)
FAKE(childproc_spec_init)
FAKE(childproc_spec_init_sized)
FAKE(childproc_spawn)
FAKE(event_wait)
FAKE(event_free)

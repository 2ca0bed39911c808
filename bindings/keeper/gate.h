/* gate.h - a service's process, until it may become its program; see gate.c */
#ifndef XLO_GATE_H
#define XLO_GATE_H

#define XLO_GATE_OPEN 'g'   /* in the ticket: it may, whoever lives */
#define XLO_GATE_FAILED 'e' /* followed by the errno of the exec, in decimal */

/* Does not return: becomes argv[0], searched in PATH, or exits. */
void xlo_gate(int gate, int ticket, char **argv) __attribute__((noreturn));

#endif

/* pin.h - the object that this code is in stays loaded
 *
 * Once there was a ctx there may be a thread that reaps for it, a handler, and
 * fork handlers: a host that unloads the plugin with our archive in it would
 * take their code away (C26).
 */
#ifndef XL_PIN_H
#define XL_PIN_H

void xl_pin(void);

#endif

/* packers: how many threads compress values for writers at this moment, against how many processors
 * there are.
 *
 * Values of `direct_min` bytes and more are compressed by the threads that bring them, side by
 * side. When as many do so as there are processors, compression is what writers wait for, and those
 * who read and write have no processor left: the codec may then do with less (struct pack_how). */
#ifndef VARVE_STORE_PACKERS_H
#define VARVE_STORE_PACKERS_H

#include <stdbool.h>
#include <stdint.h>

/* Plain data; all zeros: nobody is ever in a hurry. */
struct packers {
    uint32_t processors; /* fixed */
    uint32_t at_work;    /* atomic */
};

/* This thread begins, and has to call packers_end(). True: there are as many as processors now, and
 * two at least. */
bool packers_begin(struct packers *p);
void packers_end(struct packers *p);

#endif

/* Which instruction sets were built, which this CPU can run, and which is in use. */
#ifndef TEXTGRU_DISPATCH_H
#define TEXTGRU_DISPATCH_H

#include "kernels.h"

/* The tables that this CPU can run, best first; the last is always the baseline. Returns how many. */
int textgru_supported_kernels(const textgru_kernels **tables, int capacity);

#endif

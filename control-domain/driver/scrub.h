// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zeroing the pool's free memory in the background, so that the next VM need not wait for it.
 */
#pragma once

/* Starts the thread that does it, first with what is dirty since boot; an errno negated. */
int scrub_init(void);
void scrub_exit(void);

/* Memory was given back, and its flushes are paid. Context: process. */
void scrub_wake(void);

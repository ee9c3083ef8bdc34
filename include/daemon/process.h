/* SPDX-License-Identifier: MIT */
/* What the system says of this process. */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <stddef.h>
#include <stdint.h>

/* Open descriptors; 0 where nobody tells. */
size_t process_files(void);
/* The most that there can be. */
uint64_t process_files_max(void);
/* Resident bytes; 0 where nobody tells. */
uint64_t process_memory(void);
/* Microseconds of the processor, user and system. */
uint64_t process_cpu_us(void);

#endif

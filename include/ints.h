/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's names of the integers, in user space too: for the headers of
 * files that build in both.
 */
#ifndef KVM_INTS_H
#define KVM_INTS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int8_t s8;
typedef int32_t s32;
typedef long long s64;
#endif

#endif

/* SPDX-License-Identifier: MIT */
/* The chat page, taken in as it is when this file is assembled (from the top of the repository). */
#include "model.h"

__asm__(".pushsection .rodata\n"
	".balign 4\n"
	".globl page_size\n"
	"page_size:\n"
	"	.long 2f - 1f\n"
	".globl page_text\n"
	"page_text:\n"
	"1:	.incbin \"bench/model/page.html\"\n"
	"2:\n"
	".popsection\n");

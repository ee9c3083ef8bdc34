/* SPDX-License-Identifier: MIT */
/* Text for manual pages (mdoc): escaped, in lines of less than 80 bytes, a sentence to a line. */
#ifndef BASE_MDOC_H
#define BASE_MDOC_H

#include <stdio.h>

#include "base/str.h"

/* Text lines; nothing for an empty text. */
void mdoc_text(FILE *, struct str);
/* The same as a sentence: a capital where it begins with a plain word, a full stop at its end. */
void mdoc_sentence(FILE *, struct str);
/* An entry of a tagged list. */
void mdoc_item(FILE *, const char *name, const char *help);

#endif

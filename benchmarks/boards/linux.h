/* A program on Linux; instructions are not counted. */

#include <stdio.h>

#define ticks() 0u
#define elapsed(start, end) ((end) - (start))
#define INSTRUCTIONS(n) ((void)(n))
#define say(text) fputs(text, stdout)

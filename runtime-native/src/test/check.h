/* The least that a test needs: a claim that ends the program when it is false. */
#ifndef TS_CHECK_H
#define TS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(claim)                                                        \
  do                                                                        \
    if (!(claim))                                                           \
      {                                                                     \
        fprintf (stderr, "%s:%d: false: %s\n", __FILE__, __LINE__, #claim); \
        exit (1);                                                           \
      }                                                                     \
  while (0)

#define CHECK_TEXT(found, wanted)                                                             \
  do                                                                                          \
    if (strcmp (found, wanted) != 0)                                                          \
      {                                                                                       \
        fprintf (stderr, "%s:%d: \"%s\" is not \"%s\"\n", __FILE__, __LINE__, found, wanted); \
        exit (1);                                                                             \
      }                                                                                       \
  while (0)

#endif

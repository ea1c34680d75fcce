/* Where an entry of a layer goes: its folder, resolved inside the layer's root, and its name there. */
#ifndef TS_PLACE_H
#define TS_PLACE_H

#include <limits.h>
#include <stdbool.h>

struct place
{
  int root;
  int parent;
  char name[NAME_MAX + 1]; /* "" for the root itself */
};

/* `make`: the folders above it that are missing are made, also where links lead to missing ones. 0 or -errno. */
int open_place (const char *root, const char *path, bool make, struct place *place);
void close_place (struct place *place);

#define cleanup_place __attribute__ ((cleanup (close_place)))
#define NO_PLACE             \
  {                          \
    .root = -1, .parent = -1 \
  }

#endif

#ifndef TS_TREE_H
#define TS_TREE_H

#include <stdint.h>

/* Removes `name` in the folder, whatever it is and whatever is in it, counting down *budget for each entry. No link is
   followed; a mount is not entered but answers -EXDEV or -EBUSY. Returns 0 also when it does not exist, -EAGAIN when
   the budget is used up, else -errno. */
int remove_entry_at (int dirfd, const char *name, uint32_t *budget);

#endif

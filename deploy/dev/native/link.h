/* The little that an init needs to know of network links. */
#pragma once

#include "fail.h"

#include <stdbool.h>

/* Sets the loopback link up. */
int link_up_loopback (struct failure *failure);

bool link_has_address (const char *name);

/* A descriptor that becomes readable whenever an IPv4 address comes or goes. Open it before asking
   link_has_address, and drain it with link_watch_drain before asking again. */
int link_watch_open (struct failure *failure);
void link_watch_drain (int fd);

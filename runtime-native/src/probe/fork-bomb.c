/* Says "R" on descriptor 3, then forks as fast as it may, for ever: every process tries to become two. */
#include <unistd.h>

int
main (void)
{
  if (write (3, "R", 1) == 1)
    close (3);
  for (;;)
    if (fork () < 0)
      usleep (1000);
}

/* exchange A B     gives the two each other's name, again and again until it is killed */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int
main (int argc, char **argv)
{
  if (argc != 3)
    return 2;
  while (syscall (SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) == 0)
    ;
  perror ("renameat2");
  return 1;
}

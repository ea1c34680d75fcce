/* Prints the extended attribute argv[2] of the file argv[1] in hexadecimal. */
#include <stdio.h>
#include <sys/xattr.h>

int
main (int argc, char **argv)
{
  unsigned char value[256];
  ssize_t size = argc == 3 ? lgetxattr (argv[1], argv[2], value, sizeof value) : -1;

  if (size < 0)
    {
      perror ("lgetxattr");
      return 1;
    }
  for (ssize_t i = 0; i < size; i++)
    printf ("%02x", value[i]);
  puts ("");
  return 0;
}

/* Maps and touches argv[1] huge pages of 2 MiB and says how many it got; a fault beyond a limit ends it by SIGBUS. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum
{
  PAGE = 2 << 20,
};

int
main (int argc, char **argv)
{
  size_t count = argc > 1 ? strtoul (argv[1], NULL, 10) : 1;
  char *pages = mmap (NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

  if (pages == MAP_FAILED)
    {
      perror ("mmap");
      return 1;
    }
  for (size_t i = 0; i < count; i++)
    pages[i * PAGE] = 1;
  printf ("%zu\n", count);
  return 0;
}

/* udp serve PORT NAME                   answers each datagram with "NAME CLIENT-ADDRESS"
   udp ask ADDRESS PORT PATIENCE [FROM]  sends one, from that port, and prints the answer, or says why there is none
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int
fail (const char *what)
{
  fprintf (stderr, "%s: %s\n", what, strerror (errno));
  return 1;
}

static int
open_at (int port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons ((uint16_t) port) };
  int fd = socket (AF_INET, SOCK_DGRAM, 0);

  return bind (fd, (struct sockaddr *) &address, sizeof address) < 0 ? -1 : fd;
}

static int
serve (int port, const char *name)
{
  int fd = open_at (port);

  if (fd < 0)
    return fail ("bind");
  puts ("ready");
  fflush (stdout);
  for (;;)
    {
      struct sockaddr_in from;
      socklen_t length = sizeof from;
      char data[64], text[INET_ADDRSTRLEN], answer[128];
      ssize_t size = recvfrom (fd, data, sizeof data, 0, (struct sockaddr *) &from, &length);

      if (size < 0)
        return fail ("receive");
      size = snprintf (answer, sizeof answer, "%s %s", name, inet_ntop (AF_INET, &from.sin_addr, text, sizeof text));
      sendto (fd, answer, (size_t) size, 0, (struct sockaddr *) &from, length);
    }
}

static int
ask (const char *host, int port, int patience_ms, int source)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons ((uint16_t) port) };
  const struct timeval patience = { .tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000 };
  char answer[128];
  ssize_t size;
  int fd = open_at (source);

  if (fd < 0)
    return fail ("bind");
  setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (inet_pton (AF_INET, host, &address.sin_addr) != 1
      || connect (fd, (struct sockaddr *) &address, sizeof address) < 0)
    return fail ("connect");
  if (send (fd, "?", 1, 0) < 0)
    return fail ("send");
  size = recv (fd, answer, sizeof answer, 0);
  if (size < 0)
    return fail ("receive");
  printf ("%.*s\n", (int) size, answer);
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc == 4 && strcmp (argv[1], "serve") == 0)
    return serve (atoi (argv[2]), argv[3]);
  if ((argc == 5 || argc == 6) && strcmp (argv[1], "ask") == 0)
    return ask (argv[2], atoi (argv[3]), atoi (argv[4]), argc == 6 ? atoi (argv[5]) : 0);
  return 2;
}

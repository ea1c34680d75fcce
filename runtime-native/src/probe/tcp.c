/* tcp serve PORT              tells each client its address as the server sees it, and sends SIZE bytes after it
   tcp ask ADDRESS PORT        prints "CLIENT-ADDRESS COUNT", or the system's words for why it cannot; waits 2 s at most
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum
{
  SIZE = 300 * 1000
};

static int
fail (const char *what)
{
  fprintf (stderr, "%s: %s\n", what, strerror (errno));
  return 1;
}

static void
answer (int client, const struct sockaddr_in *from)
{
  static char data[SIZE];
  char line[64];
  char text[INET_ADDRSTRLEN];
  size_t sent = 0;

  snprintf (line, sizeof line, "%s\n", inet_ntop (AF_INET, &from->sin_addr, text, sizeof text));
  if (write (client, line, strlen (line)) < 0)
    return;
  while (sent < sizeof data)
    {
      ssize_t size = write (client, data + sent, sizeof data - sent);

      if (size <= 0)
        return;
      sent += (size_t) size;
    }
}

static int
serve (int port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons ((uint16_t) port) };
  int listener = socket (AF_INET, SOCK_STREAM, 0);
  const int on = 1;

  signal (SIGPIPE, SIG_IGN);
  setsockopt (listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind (listener, (struct sockaddr *) &address, sizeof address) < 0 || listen (listener, 16) < 0)
    return fail ("listen");
  puts ("listening");
  fflush (stdout);
  for (;;)
    {
      struct sockaddr_in from;
      socklen_t length = sizeof from;
      int client = accept (listener, (struct sockaddr *) &from, &length);

      if (client < 0)
        return fail ("accept");
      answer (client, &from);
      close (client);
    }
}

static int
ask (const char *host, int port, int patience_ms)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons ((uint16_t) port) };
  const struct timeval patience = { .tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000 };
  int server = socket (AF_INET, SOCK_STREAM, 0);
  char buffer[65536], line[64] = "";
  size_t count = 0;

  setsockopt (server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt (server, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (inet_pton (AF_INET, host, &address.sin_addr) != 1
      || connect (server, (struct sockaddr *) &address, sizeof address) < 0)
    return fail ("connect");
  for (;;)
    {
      ssize_t size = read (server, buffer, sizeof buffer);

      if (size < 0)
        return fail ("read");
      if (size == 0)
        break;
      if (count == 0)
        snprintf (line, sizeof line, "%.*s", (int) strcspn (buffer, "\n"), buffer);
      count += (size_t) size;
    }
  printf ("%s %zu\n", line, count - strlen (line) - 1);
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc == 3 && strcmp (argv[1], "serve") == 0)
    return serve (atoi (argv[2]));
  if (argc == 5 && strcmp (argv[1], "ask") == 0)
    return ask (argv[2], atoi (argv[3]), atoi (argv[4]));
  return 2;
}

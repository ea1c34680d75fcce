/* Packet rules through libnftables, whose messages say what is wrong; for set-up and what is rare, not for the many
   changes. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <nftables/libnftables.h>

#include "lib/result.h"
#include "lib/thread.h"

struct nft_job
{
  const char *commands;
  char *out; /* for what the commands print, as JSON; or NULL */
  uint32_t size;
  struct ts_result *res;
};

static int
take_output (struct nft_ctx *nft, const struct nft_job *job)
{
  const char *words = nft_ctx_get_output_buffer (nft);
  size_t length = words ? strlen (words) : 0;

  if (length >= job->size)
    return ts_fail (job->res, ENOBUFS, "read packet rules", "%zu bytes", length);
  memcpy (job->out, words ? words : "", length + 1);
  return 0;
}

static int
run_commands (struct nft_ctx *nft, const struct nft_job *job)
{
  const char *step = job->out ? "read packet rules" : "set packet rules";
  const char *words;

  if (nft_ctx_buffer_error (nft) || nft_ctx_buffer_output (nft))
    return ts_fail (job->res, ENOMEM, step, "%s", "");
  /* Numbers: names of protocols are in a file that a node need not have. */
  if (job->out)
    nft_ctx_output_set_flags (nft, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_ALL);
  errno = 0;
  if (nft_run_cmd_from_buffer (nft, job->commands) == 0)
    return job->out ? take_output (nft, job) : 0;
  words = nft_ctx_get_error_buffer (nft);
  return ts_fail (job->res, errno ? errno : EINVAL, step, "%.300s", words && *words ? words : job->commands);
}

static int
run_job (void *arg)
{
  const struct nft_job *job = arg;
  struct nft_ctx *nft = nft_ctx_new (NFT_CTX_DEFAULT);
  int err;

  if (!nft)
    return ts_fail (job->res, ENOMEM, "start packet rules", "%s", "");
  err = run_commands (nft, job);
  nft_ctx_free (nft);
  return err;
}

/* The parser wants more stack than the threads have that call us. */
static int
run_in_own_thread (struct nft_job *job)
{
  bool started;
  int err = run_in_thread (run_job, job, &started);

  return started ? err : ts_fail (job->res, -err, "start thread", "for packet rules");
}

int
ts_nft_run (const char *commands, struct ts_result *res)
{
  return run_in_own_thread (&(struct nft_job){ .commands = commands, .res = res });
}

int
ts_nft_list (const char *command, char *out, uint32_t size, struct ts_result *res)
{
  return run_in_own_thread (&(struct nft_job){ .commands = command, .out = out, .size = size, .res = res });
}

/* Packet rules through libnftables, whose messages say what is wrong; for set-up, not for the many changes. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <nftables/libnftables.h>

#include "lib/result.h"
#include "lib/thread.h"

struct nft_job
{
  const char *commands;
  struct ts_result *res;
};

static int
run_commands (struct nft_ctx *nft, const struct nft_job *job)
{
  const char *words;

  if (nft_ctx_buffer_error (nft) || nft_ctx_buffer_output (nft))
    return ts_fail (job->res, ENOMEM, "set packet rules", "%s", "");
  errno = 0;
  if (nft_run_cmd_from_buffer (nft, job->commands) == 0)
    return 0;
  words = nft_ctx_get_error_buffer (nft);
  return ts_fail (job->res, errno ? errno : EINVAL, "set packet rules", "%.300s",
                  words && *words ? words : job->commands);
}

static int
run_job (void *arg)
{
  const struct nft_job *job = arg;
  struct nft_ctx *nft = nft_ctx_new (NFT_CTX_DEFAULT);
  int err;

  if (!nft)
    return ts_fail (job->res, ENOMEM, "set packet rules", "%s", "");
  err = run_commands (nft, job);
  nft_ctx_free (nft);
  return err;
}

/* The parser wants more stack than the threads have that call us. */
int
ts_nft_run (const char *commands, struct ts_result *res)
{
  struct nft_job job = { commands, res };
  bool started;
  int err = run_in_thread (run_job, &job, &started);

  return started ? err : ts_fail (res, -err, "start thread", "for packet rules");
}

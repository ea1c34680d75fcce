#!/bin/sh
# npm start: from a fresh clone to a running three-node cluster with a pod in it.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
printf 'tessera: building\n' >&2
sh scripts/build.sh
exec node_modules/node/bin/node dist/tsctl.mjs dev up --nodes 3 --tour

#!/bin/sh
# npm test [-- SUITE]: sets up, builds, then runs unit, integration, native and e2e tests, or only the suite named.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh --tests
PATH="$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH"
export PATH
sh scripts/build.sh
node scripts/run-tests.ts "$@"

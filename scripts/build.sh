#!/bin/sh
# Builds everything into dist/: generated types and schemas, C, one bundle per program, the example image.
# Each part notices by itself that nothing changed.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH"
export PATH
mkdir -p dist

npm run --silent generate -w @tessera/proto
make --silent -C runtime-native OUT=../dist
make --silent -C deploy/dev OUT=../../dist
node scripts/bundle.ts
node examples/image/build.ts dist/busybox.tar

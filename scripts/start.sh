#!/bin/sh
# npm start: from a fresh clone to a running three-node cluster with a pod in it. Run again, it changes nothing.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
printf 'tessera: building\n' >&2
sh scripts/build.sh

tsctl() { tsctl/bin/tsctl "$@"; }
tsctl dev up --nodes 3
tsctl image load dist/busybox.tar
tsctl apply -f examples/pod.yaml
tsctl wait --for=condition=Ready --timeout=60s pod/hello

cat <<'TOUR'

The cluster runs. What to try next, with kubectl or with npx tsctl:

  kubectl get pods -o wide
  kubectl logs -f hello
  kubectl exec -it hello -- sh
  npx tsctl describe pod hello
  npx tsctl dev status
  npx tsctl dev down
TOUR

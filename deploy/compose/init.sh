#!/bin/sh
# Initialises the cluster, once. What only the operator may have goes into the operator's volume, and nowhere else.
set -eu
umask 077
export STRONGROOM_ADDR=https://127.0.0.1:8200 STRONGROOM_CACERT=/operator/api-ca.pem
answer=/operator/init.json

is_initialised() { strongroom operator init -status > /dev/null 2>&1; }

tries=0
while ! is_initialised; do
  if strongroom operator init -format=json > "$answer.new" 2> /tmp/why; then
    mv "$answer.new" "$answer"
    break
  fi
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    cat /tmp/why >&2
    exit 1
  fi
  sleep 1
done

if [ -e "$answer" ]; then
  echo "the cluster is initialised; recovery keys and root token are in the operator's volume:"
  echo "  docker compose run --rm --no-deps --entrypoint cat init /operator/init.json"
  echo "keep them elsewhere, and remove the file"
else
  echo "the cluster was initialised before; its recovery keys and root token were given to whoever did"
fi

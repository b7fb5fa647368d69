#!/bin/sh
# Makes keys, certificates and the database's password, once, each into the volume of the service that needs it.
# The volume of the operator gets its last file last: it says that all is there.
set -eu
umask 077
out=/out
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -e "$out/operator/api-ca.pem" ]; then
  echo "keys and certificates are there already"
  exit 0
fi

strongroom operator certs -out "$work/nodes" -cluster-name strongroom n1=n1 n2=n2 n3=n3 > /dev/null
strongroom operator certs -out "$work/api" -cluster-name strongroom-api \
  n1=n1,localhost,127.0.0.1 n2=n2,localhost,127.0.0.1 n3=n3,localhost,127.0.0.1 > /dev/null
strongroom operator certs -out "$work/postgres" -cluster-name strongroom-postgres postgres=postgres > /dev/null
random() { python3 -c 'import secrets; print(secrets.token_hex(32))'; }
random > "$work/seal.key"
random > "$work/password"

for node in n1 n2 n3; do
  cp "$work/nodes/$node.pem" "$out/$node/node.pem"
  cp "$work/nodes/$node.key" "$out/$node/node.key"
  cp "$work/nodes/ca.pem" "$out/$node/ca.pem"
  cp "$work/api/$node.pem" "$out/$node/api.pem"
  cp "$work/api/$node.key" "$out/$node/api.key"
  cp "$work/api/ca.pem" "$out/$node/api-ca.pem"
  cp "$work/postgres/ca.pem" "$out/$node/postgres-ca.pem"
  cp "$work/seal.key" "$out/$node/seal.key"
  cp "$work/password" "$out/$node/postgres-password"
done

# PostgreSQL runs as a user of its own, who reads by group.
cp "$work/postgres/postgres.pem" "$out/postgres/server.pem"
cp "$work/postgres/postgres.key" "$out/postgres/server.key"
cp "$work/password" "$out/postgres/password"
chgrp 999 "$out/postgres" "$out/postgres/server.pem" "$out/postgres/server.key" "$out/postgres/password"
chmod 640 "$out/postgres/server.pem" "$out/postgres/server.key" "$out/postgres/password"

# For certificates of further nodes, or new ones of these.
cp "$work/nodes/ca.pem" "$out/authority/ca.pem"
cp "$work/nodes/ca.key" "$out/authority/ca.key"
mkdir -p "$out/authority/api"
cp "$work/api/ca.pem" "$out/authority/api/ca.pem"
cp "$work/api/ca.key" "$out/authority/api/ca.key"

cp "$work/api/ca.pem" "$out/operator/api-ca.pem.new"
mv "$out/operator/api-ca.pem.new" "$out/operator/api-ca.pem"
echo "keys and certificates are made"

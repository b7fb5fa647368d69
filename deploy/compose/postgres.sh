#!/bin/sh
# A PostgreSQL that takes one role, over TLS, with SCRAM. `serve` makes the database first, if there is none.
set -eu
umask 077
for folder in /usr/lib/postgresql/*/bin; do PATH="$folder:$PATH"; done
data=/var/lib/postgresql/data/strongroom
socket=/tmp

if [ "${1:-serve}" = health ]; then
  exec pg_isready -q -h "$socket"
fi

if [ ! -e "$data" ]; then
  rm -rf "$data.new"
  initdb -D "$data.new" -U postgres -E UTF8 --no-locale --data-checksums -A reject > /dev/null
  printf 'local all postgres peer\nhostssl strongroom strongroom all scram-sha-256\n' > "$data.new/pg_hba.conf"
  # A single line each: single-user mode ends a statement with the line. The password is hexadecimal.
  postgres --single -D "$data.new" postgres > /dev/null <<SQL
CREATE ROLE strongroom LOGIN PASSWORD '$(cat /etc/strongroom/password)'
CREATE DATABASE strongroom OWNER strongroom
SQL
  mv "$data.new" "$data"
fi

# The server takes a key only from a file of its own user.
cp /etc/strongroom/server.key /tmp/server.key
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories="$socket" -c fsync=on \
  -c ssl=on -c ssl_cert_file=/etc/strongroom/server.pem -c ssl_key_file=/tmp/server.key

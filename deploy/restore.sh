#!/bin/sh
# restore.sh FILE: brings the database of a compose deployment back to a dump in deploy/backups.
#
# The present database is kept as chat_before_restore, and Redis is left as it is: see docs/backup.md. Gateways stay and reject
# commands while the workers are down.
set -eu
cd "$(dirname "$0")/.."
: "${DOCKER:=docker}"
file=$(basename "$1")
[ -s "deploy/backups/$file" ] || { echo "there is no deploy/backups/$file" >&2; exit 1; }

postgres() {
    $DOCKER compose exec --no-TTY postgres "$@"
}

$DOCKER compose stop worker
postgres dropdb --username=chat --maintenance-db=postgres --if-exists chat_before_restore
postgres psql --quiet --username=chat --dbname=postgres --command='ALTER DATABASE chat RENAME TO chat_before_restore'
postgres createdb --username=chat --maintenance-db=postgres chat
# The migration grants the rights of the workers' role.
$DOCKER compose run --rm --no-TTY --no-deps --entrypoint sh backup -c \
    'pg_restore --exit-on-error --single-transaction --no-owner --no-privileges --dbname="$(cat "$DATABASE_URL_FILE")" "/backups/$0"' "$file"
$DOCKER compose run --rm --no-TTY --no-deps migrate
$DOCKER compose start worker

#!/bin/sh
# Gives the owner of the schema the password that deploy/secrets has now. For when deploy/secrets was lost and created again while the
# database stayed; see docs/deployment.md. Needs the compose service `postgres` to run.
set -eu
cd "$(dirname "$0")/../.."
: "${DOCKER:=docker}"
# Inside its container PostgreSQL trusts local connections.
$DOCKER compose exec --no-TTY postgres sh -c \
    'printf "ALTER ROLE chat PASSWORD '\''%s'\''" "$(cat /run/secrets/postgres/password)" | psql --quiet --username=chat --dbname=chat'

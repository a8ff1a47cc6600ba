#!/bin/sh
# upgrade.sh [SERVICE...]: replaces the workers and gateways of a running compose deployment by those of the image in CHAT_IMAGE, one
# container after the other, so that nobody notices:
#
#   CHAT_IMAGE=chat:0.2.0 sh deploy/upgrade.sh
#
# The migration comes first; it is safe while the version before it serves. If a new container does not become healthy, the script
# stops there, with all old ones still serving: remove the new one, or run the script again with the old image to go back.
# Stores and nginx stay as they are. Set CHAT_IMAGE in `.env`, too, so that the next `docker compose up` does not go back.
set -eu
cd "$(dirname "$0")/.."
: "${DOCKER:=docker}" "${WAIT_SECONDS:=120}"

compose() {
    $DOCKER compose "$@"
}

# Starts one more container, and once it is healthy stops an old one. The old one drains before it exits.
replace() {
    old=$(compose ps --quiet "$1")
    [ -n "$old" ] || { echo "there is no running $1" >&2; exit 1; }
    count=$(echo "$old" | wc -l)
    for container in $old; do
        compose up --detach --no-deps --no-recreate --wait --wait-timeout "$WAIT_SECONDS" --scale "$1=$((count + 1))" "$1"
        # nginx uses a new gateway within seconds, and another one while this one drains.
        sleep 3
        $DOCKER stop "$container" >/dev/null
        $DOCKER rm "$container" >/dev/null
        echo "$1: replaced $container"
    done
}

[ $# -gt 0 ] || set -- worker gateway
compose run --rm --no-deps migrate
for service in "$@"; do replace "$service"; done

#!/bin/sh
# Runs nginx with the gateways that GATEWAY_HOST resolves to, and reloads it when they change.
# Addresses one by one, because nginx's consistent hash takes all addresses of one name for one server.
set -eu
: "${GATEWAY_HOST:?}" "${GATEWAY_PORT:=8080}" "${REFRESH_SECONDS:=2}"
home=/tmp/nginx
conf=${NGINX_CONF:-/etc/chat/nginx/nginx.conf}
mkdir -p "$home"

# Writes the list; succeeds when it differs from the one before. A failed look-up changes nothing.
refresh() {
    addresses=$(getent ahostsv4 "$GATEWAY_HOST" | awk '{ print $1 }' | sort -u) || return 1
    [ -n "$addresses" ] || return 1
    for address in $addresses; do
        echo "server $address:$GATEWAY_PORT max_fails=1 fail_timeout=2s;"
    done >"$home/upstreams.new"
    cmp -s "$home/upstreams.new" "$home/upstreams.conf" && return 1
    mv "$home/upstreams.new" "$home/upstreams.conf"
}

# Until the first gateway is known, requests get a 502. After a restart of the container the list may be there already.
refresh || [ -s "$home/upstreams.conf" ] || echo 'server 127.0.0.1:1 down;' >"$home/upstreams.conf"

nginx -c "$conf" -g 'daemon off;' &
nginx=$!
trap 'kill -QUIT "$nginx"' TERM QUIT INT

while kill -0 "$nginx" 2>/dev/null; do
    # Waiting in the background, so that a signal is handled at once.
    sleep "$REFRESH_SECONDS" &
    wait $! || true
    if refresh; then
        kill -HUP "$nginx" 2>/dev/null || true
    fi
done
wait "$nginx"

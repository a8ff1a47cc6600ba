#!/bin/sh
# Runs nginx with the gateways that GATEWAY_HOST resolves to, and reloads it when they or the certificate change.
#
#   GATEWAY_HOST, GATEWAY_PORT   where the gateways are
#   PROXY_PROTOCOL_FROM          networks of a load balancer that speaks the PROXY protocol, separated by spaces
#   DRAIN_STEP_SECONDS           on SIGTERM, the pause between one worker process and the next
#
# The upstreams are addresses, not the name, because nginx's consistent hash treats all addresses of a name as one server.
set -eu
: "${GATEWAY_HOST:?}" "${GATEWAY_PORT:=8080}" "${REFRESH_SECONDS:=2}" "${PROXY_PROTOCOL_FROM:=}" "${DRAIN_STEP_SECONDS:=5}"
# After a reload, processes of the old configuration keep their connections. The most that may stay: more would need more memory.
: "${MAX_OLD_PROCESSES:=16}"
home=/tmp/nginx
conf=${NGINX_CONF:-/etc/chat/nginx/nginx.conf}
mkdir -p "$home"

# Writes the list; succeeds if it differs from the previous one. A failed look-up changes nothing.
refresh() {
    addresses=$(getent ahostsv4 "$GATEWAY_HOST" | awk '{ print $1 }' | sort -u) || return 1
    [ -n "$addresses" ] || return 1
    for address in $addresses; do
        echo "server $address:$GATEWAY_PORT max_fails=1 fail_timeout=2s;"
    done >"$home/upstreams.new"
    cmp -s "$home/upstreams.new" "$home/upstreams.conf" && return 1
    mv "$home/upstreams.new" "$home/upstreams.conf"
}

# Prints a checksum of the certificate and its key, wherever the configuration has them.
certificate() {
    sed -n 's/^ *ssl_certificate\(_key\)\? \(.*\);/\2/p' "$conf" | xargs cat 2>/dev/null | cksum
}

# Prints the worker processes, oldest first; with `old`, only those of an earlier configuration.
workers() {
    for pid in $(cat "/proc/$nginx/task/$nginx/children" 2>/dev/null); do
        [ "${1:-}" = old ] && ! grep -q 'shutting down' "/proc/$pid/cmdline" 2>/dev/null && continue
        echo "$pid"
    done
}

# Ends the oldest processes if there are too many. Their clients reconnect, to the gateways where they belong now.
limit_old() {
    excess=$(($(workers old | wc -l) - MAX_OLD_PROCESSES))
    [ "$excess" -le 0 ] || workers old | head -n "$excess" | xargs kill -TERM 2>/dev/null || true
}

# Stops accepting connections, then ends one worker process after the other, so that not all clients reconnect at once.
drain() {
    trap '' TERM QUIT INT
    all=$(workers)
    kill -QUIT "$nginx" 2>/dev/null || true
    for pid in $all; do
        kill -0 "$nginx" 2>/dev/null || break
        sleep "$DRAIN_STEP_SECONDS"
        kill -TERM "$pid" 2>/dev/null || true
    done
    wait "$nginx" || true
    exit 0
}

if [ -n "$PROXY_PROTOCOL_FROM" ]; then
    for network in $PROXY_PROTOCOL_FROM; do echo "set_real_ip_from $network;"; done >"$home/real_ip.conf"
    echo 'real_ip_header proxy_protocol;' >>"$home/real_ip.conf"
    sed 's/^\( *listen .* ssl.*\);/\1 proxy_protocol;/' "$conf" >"$home/proxy_protocol.conf"
    conf=$home/proxy_protocol.conf
fi
# Until the first gateway is known, requests get a 502. After a restart of the container the list may be there already.
refresh || [ -s "$home/upstreams.conf" ] || echo 'server 127.0.0.1:1 down;' >"$home/upstreams.conf"
served=$(certificate)

nginx -c "$conf" -g 'daemon off;' &
nginx=$!
trap drain TERM QUIT INT

while kill -0 "$nginx" 2>/dev/null; do
    # Waiting in the background, so that a signal is handled at once.
    sleep "$REFRESH_SECONDS" &
    wait $! || true
    changed=false
    refresh && changed=true
    found=$(certificate)
    [ "$found" = "$served" ] || changed=true
    served=$found
    if $changed; then
        kill -HUP "$nginx" 2>/dev/null || true
    fi
    limit_old
done
wait "$nginx"

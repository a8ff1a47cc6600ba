#!/bin/sh
# secrets.sh FOLDER: creates the secrets of a deployment that brings its own Postgres and Redis (compose, the local overlay).
# Existing files stay, so a second run changes nothing; derived files are written again. Needs openssl.
# Each subfolder is for one consumer; if this runs as root, only that consumer's user can read it.
set -eu
umask 077
cd "$1"
mkdir -p gateway worker chatctl postgres redis nginx grafana

# make FILE COMMAND...: the command's output becomes the file, whole or not at all.
make() {
    file=$1
    shift
    [ -s "$file" ] && return
    "$@" | tr -d '\n' >"$file.new"
    [ -s "$file.new" ] && mv "$file.new" "$file"
}
make postgres/password openssl rand -hex 24
make redis/password openssl rand -hex 24
make grafana/password openssl rand -hex 12
make chatctl/worker_password openssl rand -hex 24
make gateway/jwt_secret openssl rand -base64 48
make gateway/encryption_key openssl rand -base64 48
make gateway/community_sync_token openssl rand -hex 32

if [ ! -s nginx/tls.crt ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -subj /CN=localhost \
        -addext basicConstraints=critical,CA:FALSE \
        -addext subjectAltName=DNS:localhost,DNS:nginx,IP:127.0.0.1 -keyout nginx/tls.key -out nginx/tls.crt.new 2>/dev/null
    mv nginx/tls.crt.new nginx/tls.crt
fi

# The owner of the schema is for migrations and chatctl; workers have their own role, which the migration creates.
printf 'postgres://chat:%s@postgres:5432/chat' "$(cat postgres/password)" >chatctl/database_url
printf 'postgres://chat_worker:%s@postgres:5432/chat' "$(cat chatctl/worker_password)" >worker/database_url
printf 'redis://chat:%s@redis:6379' "$(cat redis/password)" >worker/redis_url
cp worker/redis_url gateway/redis_url
cp gateway/encryption_key worker/encryption_key
# `chatctl doctor` connects to nginx.
cp nginx/tls.crt chatctl/tls.crt
{
    printf 'DATABASE_URL=%s\nREDIS_URL=%s\nREDIS_PREFIX=chat:\n' "$(cat chatctl/database_url)" "$(cat worker/redis_url)"
    printf 'JWT_SECRET=%s\nCHAT_ENCRYPTION_KEY=%s\n' "$(cat gateway/jwt_secret)" "$(cat gateway/encryption_key)"
    printf 'GATEWAY_URLS=http://gateway:8080\n'
} >chatctl/env

# The services reach their own keys and channels only, and nothing that administers the server.
hash=$(printf '%s' "$(cat redis/password)" | openssl dgst -sha256 -r | cut -d ' ' -f 1)
cat >redis/users.acl <<ACL
user default off resetkeys resetchannels -@all
user chat on #$hash ~chat:* &chat:* +@all -@admin -@dangerous +info
ACL

if [ "$(id -u)" = 0 ]; then
    chown -R 65532:65532 gateway worker chatctl
    chown -R 999:999 postgres redis
    chown -R 101:101 nginx
    chown -R 472:0 grafana
    chmod 711 .
fi

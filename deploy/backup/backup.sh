#!/bin/sh
# Dumps the database that the file DATABASE_URL_FILE names into BACKUP_FOLDER, and removes dumps older than KEEP_DAYS.
# A dump is complete or absent. It contains sealed messages: keep CHAT_ENCRYPTION_KEY somewhere else. See docs/backup.md.
set -eu
umask 077
: "${DATABASE_URL_FILE:?}" "${BACKUP_FOLDER:=/backups}" "${KEEP_DAYS:=14}"
file=$BACKUP_FOLDER/chat-$(date -u +%Y%m%dT%H%M%SZ).dump
pg_dump --format=custom --file="$file.part" "$(cat "$DATABASE_URL_FILE")"
# A dump that cannot be listed cannot be restored.
pg_restore --list "$file.part" >/dev/null
mv "$file.part" "$file"
find "$BACKUP_FOLDER" -name 'chat-*.dump*' -mtime "+$KEEP_DAYS" -delete
echo "$file"

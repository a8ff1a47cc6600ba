#!/bin/sh
# Pins all public images by digest, or renews the digests: `sh deploy/pin.sh`, then look at the difference
# and commit it. Needs `docker buildx` and the registry. The digest is that of the list of platforms, so that it serves them all.
set -eu
cd "$(dirname "$0")/.."
: "${DOCKER:=docker}"
files="Dockerfile docker-compose.yml deploy/helm/chat/values.yaml $(grep -rl --include='*.yaml' 'image: ' k8s)"
# shellcheck disable=SC2086
images=$(sed -n 's/^FROM \([a-z][^ ]*:[^ ]*\).*/\1/p; s/^ *\(- \)\?image: *\([a-z][^ ]*:[^ ]*\)$/\2/p' $files |
    sed 's/@sha256:.*//' | grep -v '^chat:' | sort -u)
for image in $images; do
    # Without `--format`, which older versions apply only to lists of platforms.
    digest=$($DOCKER buildx imagetools inspect "$image" | sed -n 's/^Digest: *//p' | head -n 1)
    case $digest in sha256:*) ;; *) echo "no digest of $image: $digest" >&2; exit 1 ;; esac
    # shellcheck disable=SC2086
    sed -i "s#\($image\)\(@sha256:[0-9a-f]*\)\?\( \|\$\)#\1@$digest\3#" $files
    echo "$image@$digest"
done

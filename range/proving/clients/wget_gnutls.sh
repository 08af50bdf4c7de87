#!/bin/bash
# wget, which speaks TLS through GnuTLS on Debian, against api.openai.com. Options as for curl.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
n=1 stream=no-stream truth=${RANGE_TRUTH:-/dev/null} run=${RANGE_RUN:-0}
while [ $# -gt 0 ]; do
  case $1 in
    --n) n=$2; shift 2 ;;
    --stream|--no-stream) stream=${1#--}; shift ;;
    --mode) shift 2 ;;
    --truth) truth=$2; shift 2 ;;
    --run) run=$2; shift 2 ;;
    *) echo "wget_gnutls.sh: unknown option $1" >&2; exit 2 ;;
  esac
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for ((i = 0; i < n; i++)); do
  "$RANGE_PYTHON" "$here/_curl.py" body chat "$stream" "$run" "$i" "$work/body.json"
  wget -q -O "$work/answer" --ca-certificate="$SSL_CERT_FILE" --header 'Content-Type: application/json' \
    --header "Authorization: Bearer $OPENAI_API_KEY" --post-file="$work/body.json" https://api.openai.com/v1/chat/completions
  "$RANGE_PYTHON" "$here/_curl.py" note chat "$stream" "$run" "$i" "$work/body.json" "$work/answer" 200 "$truth"
done

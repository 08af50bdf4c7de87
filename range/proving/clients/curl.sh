#!/bin/bash
# curl against api.openai.com, as a shell script does it. Same options as the Python clients; --mode chat|anthropic|site.
# RANGE_PYTHON makes the bodies and reads the answers, curl does all the talking.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
n=1 stream=no-stream mode=chat truth=${RANGE_TRUTH:-/dev/null} run=${RANGE_RUN:-0}
while [ $# -gt 0 ]; do
  case $1 in
    --n) n=$2; shift 2 ;;
    --stream|--no-stream) stream=${1#--}; shift ;;
    --mode) mode=$2; shift 2 ;;
    --truth) truth=$2; shift 2 ;;
    --run) run=$2; shift 2 ;;
    *) echo "curl.sh: unknown option $1" >&2; exit 2 ;;
  esac
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${RANGE_PYTHON:-python3}
case $mode in
  chat) url=https://api.openai.com/v1/chat/completions
        headers=(-H "Authorization: Bearer $OPENAI_API_KEY") ;;
  anthropic) url=https://api.anthropic.com/v1/messages
        headers=(-H "x-api-key: $ANTHROPIC_API_KEY" -H "anthropic-version: 2023-06-01") ;;
  site) url=https://example.com/api/messages headers=() ;;
  *) echo "curl.sh: unknown mode $mode" >&2; exit 2 ;;
esac
for ((i = 0; i < n; i++)); do
  "$python" "$here/_curl.py" body "$mode" "$stream" "$run" "$i" "$work/body.json"
  status=$(curl -sS --fail-with-body --compressed --no-buffer --max-time 60 -o "$work/answer" -w '%{http_code}' \
    -H 'Content-Type: application/json' ${headers[@]+"${headers[@]}"} --data-binary @"$work/body.json" "$url")
  "$python" "$here/_curl.py" note "$mode" "$stream" "$run" "$i" "$work/body.json" "$work/answer" "$status" "$truth"
done

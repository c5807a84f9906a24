# The preparation task: brings the program, whose link is in CLUSTERLESS_PROGRAM and whose hash in CLUSTERLESS_SHA256, to a node. A task that
# fails keeps the node from the job for good, so what may pass is tried again here, for ten minutes each time that the service starts this.
# The link may hold a secret: it is in no argument and no output. Plain sh, since an image may have no other.
set -e
eval "$(printf %b "$CLUSTERLESS_ENVIRON")" # of the job: it may name a proxy or certificates
umask 077
trap 'rm -f answer' EXIT
fetch() { # code is that of HTTP, if there was an answer
  rm -f program.gz answer
  code=
  if command -v curl >/dev/null; then
    printf 'url = "%s"\n' "$CLUSTERLESS_PROGRAM" | curl -sSfg --connect-timeout 30 --speed-limit 1 --speed-time 120 -D answer -o program.gz -K - && return
  elif command -v wget >/dev/null; then
    printf '%s\n' "$CLUSTERLESS_PROGRAM" | wget -nv -S -t 1 -T 120 -O program.gz -i - 2>answer && return
  else
    echo "clusterless: this image has neither curl nor wget, one of which has to fetch the program: install it, as in a start task" >&2
    exit 1
  fi
  code=$(sed -n 's/^ *HTTP\/[0-9.]* \([0-9]*\).*/\1/p' answer 2>/dev/null | tail -n 1)
  return 1
}
pause=1 began=$(date +%s)
until fetch; do
  case $code in
  400 | 401 | 403 | 404 | 409 | 410)
    why=$(sed -n 's/^ *[Xx]-[Mm][Ss]-[Ee]rror-[Cc]ode: *\([A-Za-z]*\).*/ \1/p' answer | tail -n 1)
    echo "clusterless: the program cannot be fetched: the storage answers $code$why" >&2
    exit 1
    ;;
  esac
  if [ $(($(date +%s) - began)) -ge 600 ]; then
    echo "clusterless: the program could not be fetched for ten minutes" >&2
    exit 1
  fi
  echo "clusterless: the program could not be fetched (${code:-no answer}); trying again" >&2
  sleep $pause
  pause=$((pause < 32 ? 2 * pause : 60))
done

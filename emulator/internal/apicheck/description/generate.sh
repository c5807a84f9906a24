#!/bin/sh
# Writes BatchService.json.gz beside this script from Microsoft's description, whose path is the argument.
set -eu
gzip -9 -n -c "$1" > "$(dirname "$0")/BatchService.json.gz"

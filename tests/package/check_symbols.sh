#!/usr/bin/env bash
# check_symbols.sh LIBRARY: a shared liblull needs the C and C++ runtimes only, and exports nothing
# but its own names.
set -euo pipefail
library=$1

foreign=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
  grep -vE '^(libc|libm|libstdc\+\+|libgcc_s|libpthread|libdl|ld-linux.*)\.so' || true)
if [ -n "$foreign" ]; then
  echo "liblull links more than the C and C++ runtimes: $foreign"
  exit 1
fi

exported=$(nm -DC --defined-only "$library" | cut -d' ' -f3-)
strange=$(grep -vE '^(lull::|lull_|LULL_|(typeinfo|typeinfo name|vtable) for lull::)' <<<"$exported" || true)
if [ -n "$strange" ]; then
  echo "liblull exports names that are not its own:"
  echo "$strange"
  exit 1
fi
internal=$(grep -E 'lull::(detail|backends)::' <<<"$exported" | grep -vE '\((.*lull::detail.*)\)' || true)
if [ -n "$internal" ]; then
  echo "liblull exports internals:"
  echo "$internal"
  exit 1
fi
echo "$(wc -l <<<"$exported") names exported, all of them ours"

#!/usr/bin/env bash
# Makes targets that write files, and fails where one changes a file; then makes further targets:
#
#   verify.sh TARGET... -- TARGET...
#
# Files are compared with what they were before, not with the last commit, so that it works on a tree with
# changes. What was written stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# snapshot lists every file that git would know, with a hash of its content.
snapshot() {
  git ls-files --cached --others --exclude-standard | sort -u | while IFS= read -r file; do
    [ ! -f "$file" ] || echo "$file"
  done | tee "$scratch/names" | git hash-object --no-filters --stdin-paths >"$scratch/hashes"
  paste "$scratch/hashes" "$scratch/names" | sort
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
compare=true
for target in "$@"; do
  if [ "$target" = -- ]; then
    compare=false
    continue
  fi
  echo "== make $target"
  snapshot >"$scratch/before"
  if ! "${MAKE:-make}" --no-print-directory "$target"; then
    echo "verify: make $target failed" >&2
    failed=1
  elif $compare; then
    snapshot >"$scratch/after"
    changed=$(comm -3 "$scratch/before" "$scratch/after" | awk -F '\t' '{print $NF}' | sort -u)
    if [ -n "$changed" ]; then
      printf 'verify: not up to date; run make %s and commit:\n%s\n' "$target" "$changed" >&2
      failed=1
    fi
  fi
done
[ $failed = 0 ] || exit 1
echo "verify: everything is up to date"

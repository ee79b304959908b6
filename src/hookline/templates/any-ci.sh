#!/bin/sh
# hookline in any CI. Each job is one of these commands; the first one comes first in every job:
#
#   sh ci/hookline.sh install               install hookline and its dependencies by their hashes (ci/*.txt)
#   sh ci/hookline.sh validate              check the files; needs no state
#   sh ci/hookline.sh plan                  show the changes, and write plan.md and plan.json
#   sh ci/hookline.sh changes               only whether there are changes: 0 no, 2 yes
#   sh ci/hookline.sh apply [FINGERPRINT]   apply exactly the saved plan.json, or the plan with this fingerprint
#   sh ci/hookline.sh drift                 check that the state is still the one that was applied
#
# Exit codes: 0 done, 1 failed, 2 there are changes, 5 invalid files, 6 blocked, 7 stale: not the reviewed plan,
# 8 the state cannot be used, 9 drift, 64 wrong use. Every code except 0 and 2 fails the job.
#
# Variables: HOOKLINE_STATE, postgresql://… of a role that may read for every job, and of a role that may write for the
# job that applies, on the protected branch only. HOOKLINE_PLAN_ALLOW_DELETE and HOOKLINE_APPLY_ALLOW_DELETE name
# webhooks that may be deleted. A job for a pull request from a fork gets no state: it can only install and validate.
# The checkout needs the whole history, because hookline refuses a commit that does not follow the one applied last.
set -eu

PYTHONSAFEPATH=1 # Python imports nothing from the checkout: a pip.py or json.py there would run beside the secrets
export PYTHONSAFEPATH
files=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# Not in the checkout, where a commit could put a program. Each directory of a machine has its own.
tools="${HOOKLINE_TOOLS:-$HOME/.cache/hookline-ci/$(pwd | cksum | tr -d ' ')}"

fail() { # CODE MESSAGE
  echo "error: $2" >&2
  exit "$1"
}

need_state() {
  [ -n "${HOOKLINE_STATE:-}" ] || fail 8 "no state: the variable HOOKLINE_STATE is not set for this job"
}

hookline() {
  [ -x "$tools/bin/hookline" ] || fail 64 "hookline is not installed: run sh ci/hookline.sh install first, in this job"
  "$tools/bin/hookline" "$@"
}

next_step="Run the job that plans on this branch, read its plan, and apply that one."
code=0
case "${1:-}" in
  install)
    [ -f "$files/package.txt" ] ||
      fail 64 "no package: $files/package.txt does not exist. Run: hookline init --ci script --package SPEC. Then commit the files that it creates."
    python3 -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --require-hashes --requirement "$files/dependencies.txt"
    "$tools/bin/python" -m pip install --quiet --no-deps --no-build-isolation --requirement "$files/package.txt"
    "$tools/bin/python" -m pip check
    ;;
  validate) hookline validate ;;
  plan)
    need_state
    rm -f plan.json plan.md # neither of an earlier run nor of a commit
    hookline plan --out plan.json --format text --format markdown=plan.md || code=$?
    if [ -s plan.md ]; then
      tail -n 1 plan.md # the fingerprint
    fi
    exit "$code"
    ;;
  changes)
    need_state
    hookline plan --detailed-exitcode
    ;;
  apply)
    need_state
    if [ -n "${2:-}" ]; then
      hookline apply --auto-approve --expect "$2" --lock-timeout 5m || code=$?
    elif [ -f plan.json ]; then
      hookline apply plan.json --auto-approve --lock-timeout 5m || code=$?
    else
      fail 64 "no plan: this directory has no plan.json of the job that planned, and no FINGERPRINT is given"
    fi
    case "$code" in
      0) ;;
      6) echo "Nothing was applied; the reason is above. If a newer commit was already applied, nothing is missing. $next_step" >&2 ;;
      7) echo "The changes would not be the reviewed ones, so nothing was applied. $next_step" >&2 ;;
      *) echo "Not applied; the reason is above. Run this job again after you have solved the problem." >&2 ;;
    esac
    exit "$code"
    ;;
  drift)
    need_state
    hookline drift
    ;;
  *) fail 64 "write one of: install, validate, plan, changes, apply [FINGERPRINT], drift" ;;
esac

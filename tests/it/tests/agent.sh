#!/bin/sh
# Drives a skill with an approval in its middle as an agent does: by JSON and exit codes alone, in commands that each end within 100 s.
#
# usage: agent.sh SKILLHOST
set -eu

skillhost=$1

# Prints a member of the JSON object on standard input, by its path.
member() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[int(name)] if isinstance(value, list) else value[name]
print(value if isinstance(value, str) else json.dumps(value))' "$1"
}

run=$("$skillhost" launch approval --topic rivers --json | member run_id)
echo "launched"

approved=no
while :; do
    code=0
    told=$("$skillhost" wait "$run" --for 90s --json) || code=$?
    case $code in
    45) continue ;;
    40)
        # Whoever asks says how he is answered, and whether the user has to be asked.
        test "$(echo "$told" | member waits.0.audience)" = user
        test "$(echo "$told" | member waits.0.kind)" = question
        question="$run#$(echo "$told" | member waits.0.call)"
        echo "asked: $(echo "$told" | member waits.0.prompt)"
        # What does not fit is refused, and nothing is lost by it.
        refused=0
        "$skillhost" answer "$question" approve=perhaps --json >/dev/null || refused=$?
        test "$refused" = 10
        "$skillhost" answer "$question" approve=true comment='Go ahead' --json >/dev/null
        approved=yes
        # A second answer is told that there is one.
        refused=0
        "$skillhost" answer "$question" approve=false --json >/dev/null || refused=$?
        test "$refused" = 70
        ;;
    0)
        echo "done: $("$skillhost" result "$run")"
        break
        ;;
    *)
        echo "exit $code: $told" >&2
        exit 1
        ;;
    esac
done
test "$approved" = yes
